//! What to write instead.

use super::patch;
use crate::weight::finding::{Advice, Finding, FindingKind};
use crate::weight::input::Image;
use crate::weight::layer::{Source, Step};
use crate::weight::size::Size;

/// `None` where the user's Dockerfile can't help.
pub(super) fn advice(image: &Image, finding: &Finding) -> Option<Advice> {
    let step = &image.layers[finding.layer as usize].step;
    let by = finding.by.map(|by| &image.layers[by as usize].step);
    if let Source::Base(base) = &step.source {
        return in_base(base, finding, by);
    }
    let patch = image.dockerfile.as_deref().and_then(|text| match (finding.kind, by) {
        (FindingKind::PackageCache, _) => patch::clean_up(text, step, &finding.detail),
        (FindingKind::Recopied, Some(by)) => patch::owner_at_once(text, step, by),
        _ => None,
    });
    let saves = finding.size;
    Some(Advice { text: text(finding, step, by), patch, saves })
}

/// What lies in the base can't be made smaller from above.
fn in_base(base: &str, finding: &Finding, by: Option<&Step>) -> Option<Advice> {
    let from_above = by.is_some_and(|by| !matches!(by.source, Source::Base(_)));
    let text = match finding.kind {
        FindingKind::Removed if from_above => format!(
            "Removing files of {base} only hides them: they are still pulled. A smaller base is what helps."
        ),
        FindingKind::Overwritten | FindingKind::Recopied if from_above => format!(
            "These replace files of {base}, which are still pulled. Put your own elsewhere, or take a base without them."
        ),
        FindingKind::BuildTools => format!(
            "{base} is made for building. Build in it, and COPY --from that stage onto a smaller base."
        ),
        _ => return None,
    };
    let is_new_base = finding.kind == FindingKind::BuildTools;
    let saves = if is_new_base { finding.size } else { Size::ZERO };
    Some(Advice { text, patch: None, saves })
}

fn text(finding: &Finding, step: &Step, by: Option<&Step>) -> String {
    let place = by.map_or_else(|| "a later step".to_owned(), place);
    match finding.kind {
        FindingKind::Overwritten => format!(
            "{place} writes these files again. Write them once: join the two steps, or copy only what the first one needs."
        ),
        FindingKind::Removed => format!(
            "{place} removes these files, but the layer below keeps them. Remove them in the step that makes them, or make them in a build stage."
        ),
        FindingKind::Recopied => format!(
            "{place} changes only owner, mode or time, and stores these files a second time. Use COPY --chown and --chmod, or change them in the step that makes them."
        ),
        FindingKind::PackageCache => cache(&finding.detail, step),
        FindingKind::Git => "Add .git to .dockerignore, or copy only the folders that are needed.".to_owned(),
        FindingKind::Bytecode => {
            "Python makes these again when it needs them. Set ENV PYTHONDONTWRITEBYTECODE=1, or install with pip --no-compile.".to_owned()
        }
        FindingKind::DebugSymbols => {
            "Strip what is installed: strip --strip-unneeded, go build -ldflags=\"-s -w\", or strip = true in Cargo.toml.".to_owned()
        }
        FindingKind::BuildTools => {
            "Build in a stage of its own, and COPY --from it only what runs.".to_owned()
        }
        FindingKind::Duplicate => {
            "The same content is in the image already. Copy it once, and make links for the other paths in the same step.".to_owned()
        }
        FindingKind::MissingLibrary => format!(
            "It will fail with \"not found\". Copy along {}, take a base that has them, or link statically.",
            finding.detail
        ),
        FindingKind::MissingInterpreter => format!(
            "It will fail with \"not found\". Install {}, or name an interpreter that is in the image.",
            finding.detail
        ),
    }
}

fn place(step: &Step) -> String {
    match step.lines {
        Some((first, last)) if first == last => format!("Line {first}"),
        Some((first, last)) => format!("The step in lines {first} to {last}"),
        None => "A later step".to_owned(),
    }
}

fn cache(manager: &str, step: &Step) -> String {
    let is_copied = matches!(step.source, Source::Context | Source::CopiedFrom(_));
    let how = match manager {
        _ if is_copied => "Leave it out with .dockerignore, or copy only what is needed.",
        "apt" => "End the RUN with: && rm -rf /var/lib/apt/lists/* /var/cache/apt/*",
        "apk" => "Use apk add --no-cache.",
        "dnf" | "yum" | "zypper" => {
            "End the RUN with the clean-up of the package manager, such as: && dnf clean all"
        }
        "pip" => "Use pip install --no-cache-dir.",
        "npm" => "End the RUN with: && npm cache clean --force",
        _ if step.instruction.starts_with("RUN") => {
            "Keep the cache out of the layer with RUN --mount=type=cache,target=…"
        }
        _ => "Leave it out with .dockerignore, or copy only what is needed.",
    };
    how.to_owned()
}
