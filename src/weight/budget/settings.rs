//! `.plimsoll.yml`: limits, for all images, for some, for platforms and stages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_yaml::{MessageFormatter, UserMessageFormatter};

use super::amount::{self, AmountError, GrowthLimit, Percent};
use crate::ignore::Patterns;

/// A settings file that can't be used; the text says where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// What is wrong with the file, without the words of the library that reads it.
struct Plain;

impl MessageFormatter for Plain {
    fn format_message<'a>(&self, error: &'a serde_yaml::Error) -> Cow<'a, str> {
        match error {
            serde_yaml::Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("`{key}` is there twice").into()
            }
            serde_yaml::Error::Unexpected { expected: "mapping start", .. } => {
                "expected keys with values, such as `compressed: 250MB`".into()
            }
            error => UserMessageFormatter.format_message(error),
        }
    }
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// For every image.
    pub budget: Budget,
    /// For images whose name matches; these come before `budget`.
    pub images: BTreeMap<Name, Budget>,
    /// For platforms such as `linux/arm64`; these come first.
    pub platforms: BTreeMap<Name, Budget>,
    /// Unpacked sizes of stages, by their names in the Dockerfile.
    pub stages: BTreeMap<Name, Limit<Bytes>>,
}

/// Limits of one image; what is not said is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Budget {
    /// All layers, as they are pulled.
    #[serde(deserialize_with = "given")]
    pub compressed: Option<Limit<Bytes>>,
    /// All layers, unpacked.
    #[serde(deserialize_with = "given")]
    pub unpacked: Option<Limit<Bytes>>,
    /// Of the compressed size, against the baseline; unpacked where that is not known.
    #[serde(deserialize_with = "given")]
    pub growth: Option<Limit<GrowthLimit>>,
    /// Unpacked bytes that better lines would save.
    #[serde(deserialize_with = "given")]
    pub waste: Option<Limit<Bytes>>,
    /// The least that dive's figure may be; at most 100 %.
    #[serde(deserialize_with = "share")]
    pub efficiency: Option<Limit<Percent>>,
    /// Unpacked, of any one layer above the base.
    #[serde(deserialize_with = "given")]
    pub layer: Option<Limit<Bytes>>,
    /// Unpacked bytes of the files whose path matches.
    pub paths: BTreeMap<Name, Limit<Bytes>>,
    /// Unpacked bytes of each package whose name matches; 0 forbids it.
    pub packages: BTreeMap<Name, Limit<Bytes>>,
    /// What a broken limit does that says nothing else.
    #[serde(deserialize_with = "given")]
    pub action: Option<Action>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Warn,
    #[default]
    Fail,
}

/// A limit: `250MB`, or `{limit: 250MB, action: warn}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T> {
    pub value: T,
    pub action: Option<Action>,
}

/// A name or path with `*`, `**` and `?`, as in `.dockerignore`; it holds for what is below, too.
#[derive(Clone, Debug)]
pub struct Name {
    text: String,
    patterns: Patterns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// What a key has, which must not be nothing: a limit whose value was forgotten limits nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// [`given`], for a part of a whole.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Limit<Percent>>, D::Error> {
    let limit: Option<Limit<Percent>> = given(deserializer)?;
    match limit {
        Some(limit) if limit.value > Percent::WHOLE => {
            let found = limit.value;
            Err(de::Error::custom(format_args!("expected at most 100 % but found {found}")))
        }
        limit => Ok(limit),
    }
}

impl Settings {
    /// Reads a file of YAML. Keys that are not known are refused.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_yaml::from_str(text)
            .map_err(|error: serde_yaml::Error| SettingsError(error.render_with_formatter(&Plain)))
    }

    /// What holds for one image on one platform.
    #[must_use]
    pub fn budget(&self, image: &str, platform: &str) -> Budget {
        let mut budget = Budget::default();
        let matching = |budgets: &BTreeMap<Name, Budget>, name: &str| {
            let found = budgets.iter().filter(|(pattern, _)| pattern.matches(name.as_bytes()));
            found.map(|(_, budget)| budget.clone()).collect::<Vec<_>>()
        };
        let all = matching(&self.platforms, platform)
            .into_iter()
            .chain(matching(&self.images, image))
            .chain([self.budget.clone()]);
        for next in all {
            budget = budget.or(next);
        }
        budget
    }
}

impl Budget {
    /// Limits in a few words, as an input has them: `250MB` of the compressed size, `+10MB` and `+5%`
    /// of growth; commas or line breaks between them. A broken one fails, whatever `action` other
    /// limits have.
    pub fn parse_short(text: &str) -> Result<Self, AmountError> {
        let mut budget = Self::default();
        let mut growth = GrowthLimit::default();
        for word in text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()) {
            if word.starts_with('+') || word.ends_with('%') {
                let more: GrowthLimit = word.parse()?;
                growth.bytes = growth.bytes.or(more.bytes);
                growth.percent = growth.percent.or(more.percent);
            } else {
                let value = Bytes(amount::bytes(word)?);
                budget.compressed = Some(Limit { value, action: Some(Action::Fail) });
            }
        }
        if growth != GrowthLimit::default() {
            budget.growth = Some(Limit { value: growth, action: Some(Action::Fail) });
        }
        Ok(budget)
    }

    /// These limits, and those of `other` for what these don't say.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.compressed = self.compressed.or(other.compressed);
        self.unpacked = self.unpacked.or(other.unpacked);
        self.growth = self.growth.or(other.growth);
        self.waste = self.waste.or(other.waste);
        self.efficiency = self.efficiency.or(other.efficiency);
        self.layer = self.layer.or(other.layer);
        self.action = self.action.or(other.action);
        for (name, limit) in other.paths {
            self.paths.entry(name).or_insert(limit);
        }
        for (name, limit) in other.packages {
            self.packages.entry(name).or_insert(limit);
        }
        self
    }

    /// No limit at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Self { action: None, ..self.clone() } == Self::default()
    }
}

impl Name {
    pub fn matches(&self, name: &[u8]) -> bool {
        self.patterns.matches(name)
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl FromStr for Name {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let patterns = Patterns::from_flags(&[text])
            .map_err(|_| AmountError { expected: "a name with * and ?", found: text.to_owned() })?;
        Ok(Self { text: text.to_owned(), patterns })
    }
}

impl FromStr for Bytes {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        amount::bytes(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de, T: FromStr<Err = AmountError>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LimitVisitor<T>(PhantomData<T>);

        impl<'de, T: FromStr<Err = AmountError>> Visitor<'de> for LimitVisitor<T> {
            type Value = Limit<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit such as 250MB, or `limit:` and `action:`")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Limit<T>, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Limit<T>, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Limit<T>, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_unit<E: de::Error>(self) -> Result<Limit<T>, E> {
                self.visit_str("")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit<T>, E> {
                Ok(Limit { value: text.parse().map_err(E::custom)?, action: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Limit<T>, A::Error> {
                let (mut value, mut action) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        // Numbers and texts alike, as without a map.
                        "limit" => value = Some(map.next_value::<Limit<T>>()?.value),
                        "action" => action = Some(map.next_value()?),
                        other => {
                            return Err(de::Error::unknown_field(other, &["limit", "action"]));
                        }
                    }
                }
                let value = value.ok_or_else(|| de::Error::missing_field("limit"))?;
                Ok(Limit { value, action })
            }
        }

        deserializer.deserialize_any(LimitVisitor(PhantomData))
    }
}
