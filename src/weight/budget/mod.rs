//! What an image may weigh, and whether it does.

mod amount;
mod judge;
mod settings;

#[cfg(test)]
mod tests;

pub use amount::{Amount, AmountError, GrowthLimit, Percent};
pub use judge::{Breach, Judged, Status, Subject, Verdict, judge};
pub use settings::{Action, Budget, Limit, Settings, SettingsError};
