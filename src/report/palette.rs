//! The colors of the pictures: fills that a label can be read on, and that people with any color
//! vision tell apart. A legend and a sign go with each, so that nothing hangs on the color alone.

use std::cmp::Reverse;

use crate::weight::ChangeKind;

/// How many things have a color of their own; the others share [`REST`].
pub(super) const HUES: usize = 7;
pub(super) const REST: &str = "rest";
pub(super) const NONE: &str = "none";
/// Small files of several, drawn as one.
pub(super) const MIXED: &str = "mixed";

/// Name, light, dark. Paul Tol's light scheme, and the same hues darkened to carry white text.
const TONES: [(&str, &str, &str); 16] = [
    ("0", "#77aadd", "#2c5f94"),
    ("1", "#ee8866", "#9c4a2b"),
    ("2", "#44bb99", "#1d7059"),
    ("3", "#eedd88", "#7d6a1e"),
    ("4", "#ffaabb", "#8f4259"),
    ("5", "#99ddff", "#1f7391"),
    ("6", "#bbcc33", "#5f6b14"),
    (REST, "#cfd4da", "#4a525c"),
    (NONE, "#e9ecef", "#363d46"),
    (MIXED, "#dcd3c4", "#4d463c"),
    ("added", "#e07b39", "#a84e12"),
    ("grown", "#f6c08f", "#7c4a21"),
    ("removed", "#5b9bd5", "#21619c"),
    ("shrunk", "#b4d3ee", "#31506c"),
    ("altered", "#d9c7e8", "#604a78"),
    ("same", "#e3e6ea", "#333a43"),
];

/// One declaration for every tone, as `declare` writes it from name, light and dark.
pub(super) fn declarations(declare: impl Fn(&str, &str, &str) -> String) -> String {
    TONES.iter().map(|(name, light, dark)| declare(name, light, dark)).collect()
}

/// The tone of each of the things that weigh this much: the heaviest have one of their own.
pub(super) fn tones(weights: &[u64]) -> Vec<String> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|index| (Reverse(weights[*index]), *index));
    let mut tones = vec![REST.to_owned(); weights.len()];
    for (hue, index) in order.into_iter().take(HUES).enumerate() {
        tones[index] = hue.to_string();
    }
    tones
}

/// The tone of a change is its name.
pub(super) fn change(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Grown => "grown",
        ChangeKind::Shrunk => "shrunk",
        ChangeKind::Altered => "altered",
        ChangeKind::Same => "same",
    }
}

/// What stands beside the name of something that changed.
pub(super) fn sign(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "+",
        ChangeKind::Removed => "−",
        ChangeKind::Grown => "▲",
        ChangeKind::Shrunk => "▼",
        ChangeKind::Altered => "≠",
        ChangeKind::Same => "",
    }
}

/// The same by its tone, with a space after it; nothing for the tone of anything else.
pub(super) fn sign_of_tone(tone: &str) -> String {
    let kinds = [ChangeKind::Added, ChangeKind::Removed, ChangeKind::Grown, ChangeKind::Shrunk];
    let kind = kinds.into_iter().find(|kind| change(*kind) == tone);
    kind.map_or_else(String::new, |kind| format!("{} ", sign(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_have_a_tone_of_their_own() {
        assert_eq!(tones(&[5, 9, 5]), ["1", "0", "2"]);
        let many = tones(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((many[0].as_str(), many[7].as_str()), (REST, "0"));
    }

    /// Contrast as WCAG 2 defines it, of labels on every fill in both themes.
    #[test]
    fn labels_can_be_read_on_every_tone() {
        let luminance = |color: &str| {
            let part = |at: usize| {
                let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        let contrast = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
        for (name, light, dark) in TONES {
            let on_light = contrast(luminance(light), luminance("#14181d"));
            let on_dark = contrast(luminance(dark), luminance("#f4f6f8"));
            assert!(on_light >= 4.5 && on_dark >= 4.5, "{name}: {on_light:.1} {on_dark:.1}");
        }
    }
}
