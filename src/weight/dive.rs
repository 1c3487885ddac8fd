//! The rules of dive's `.dive-ci`, judged as dive judges them.

use super::efficiency::Efficiency;

/// Limits; `None` where a rule is disabled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiveRules {
    /// From 0 to 1.
    pub lowest_efficiency: Option<f64>,
    /// Bytes.
    pub highest_wasted_bytes: Option<u64>,
    /// A part of what is above the base, from 0 to 1.
    pub highest_user_wasted: Option<f64>,
}

impl Default for DiveRules {
    /// What dive takes where the file does not say.
    fn default() -> Self {
        Self {
            lowest_efficiency: Some(0.9),
            highest_wasted_bytes: None,
            highest_user_wasted: Some(0.1),
        }
    }
}

impl DiveRules {
    /// The rules that an image breaks, as fragments with both numbers; empty where it keeps all.
    #[must_use]
    pub fn broken(&self, efficiency: &Efficiency) -> Vec<String> {
        let mut broken = Vec::new();
        let (score, wasted) = (efficiency.score(), efficiency.user_wasted());
        if let Some(limit) = self.lowest_efficiency.filter(|limit| score < *limit) {
            broken.push(format!("lowestEfficiency: {score:.5} is below {limit}"));
        }
        if let Some(limit) = self.highest_wasted_bytes.filter(|limit| efficiency.wasted > *limit) {
            broken.push(format!("highestWastedBytes: {} is above {limit}", efficiency.wasted));
        }
        if let Some(limit) = self.highest_user_wasted.filter(|limit| wasted > *limit) {
            broken.push(format!("highestUserWastedPercent: {wasted:.5} is above {limit}"));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_met_is_kept() {
        let efficiency = Efficiency { least: 90, found: 100, wasted: 20, image: 100, user: 40 };
        let rules = |lowest: f64, bytes, highest: f64| DiveRules {
            lowest_efficiency: Some(lowest),
            highest_wasted_bytes: Some(bytes),
            highest_user_wasted: Some(highest),
        };
        assert!(rules(0.9, 20, 0.5).broken(&efficiency).is_empty());
        assert_eq!(
            rules(0.91, 19, 0.49).broken(&efficiency),
            [
                "lowestEfficiency: 0.90000 is below 0.91",
                "highestWastedBytes: 20 is above 19",
                "highestUserWastedPercent: 0.50000 is above 0.49"
            ]
        );
        let none = DiveRules {
            lowest_efficiency: None,
            highest_wasted_bytes: None,
            highest_user_wasted: None,
        };
        assert!(none.broken(&efficiency).is_empty());
        assert_eq!(DiveRules::default().broken(&efficiency).len(), 1);
    }
}
