//! Where values of variables come from.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Looks up variables by name; `None` where there is none, which is not the same as an empty value.
pub trait Environment {
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self(name).map(Cow::Owned)
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        BTreeMap::get(self, name).map(|value| Cow::Borrowed(value.as_str()))
    }
}

/// Of several entries with the same name, the last counts.
impl Environment for Vec<(String, String)> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| Cow::Borrowed(value.as_str()))
    }
}
