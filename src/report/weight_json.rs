//! A weight and a difference as JSON: the data as it is, and the sums that a reader would have to
//! make. Paths are text that gives the path back, see [`crate::weight::path`].

use serde_json::{Value, json};

use crate::weight::{Difference, Weight};

/// One object. Bytes are integers; what is not known is null.
#[must_use]
pub fn weight_json(weight: &Weight) -> Value {
    let mut value = json!(weight);
    value["size"] = json!(weight.size());
    value["buried"] = json!(weight.buried());
    value["unpackaged"] = json!(weight.unpackaged());
    value["compressed_rest"] = json!(weight.compressed_rest());
    value["waste"] = json!(weight.waste());
    value["sources"] = json!(weight.sources());
    value["directories"] = json!(weight.directories());
    value["efficiency"]["score"] = json!(weight.efficiency.score());
    value["efficiency"]["user_wasted"] = json!(weight.efficiency.user_wasted());
    value
}

/// One object. Every change says its kind.
#[must_use]
pub fn difference_json(difference: &Difference) -> Value {
    let mut value = json!(difference);
    value["growth"] = json!(difference.growth());
    let mut kinds = |list: &str, kinds: Vec<Value>| {
        for (index, kind) in kinds.into_iter().enumerate() {
            value[list][index]["change"] = kind;
        }
    };
    kinds("layers", difference.layers.iter().map(|change| json!(change.kind())).collect());
    kinds(
        "directories",
        difference.directories.iter().map(|change| json!(change.kind())).collect(),
    );
    kinds("packages", difference.packages.iter().map(|change| json!(change.kind())).collect());
    kinds("files", difference.files.iter().map(|change| json!(change.kind())).collect());
    value
}
