//! `key=value,key=value` with Go's CSV quoting, as the flags of buildx have it.

use super::flag::FlagError;

/// The fields of one line: `a,"b,c",d` is three. A quote inside a quoted field is doubled.
pub fn fields(text: &str) -> Result<Vec<String>, FlagError> {
    crate::dockerfile::csv::fields(text).map_err(|error| {
        FlagError::new(error).hinted("Quote a whole field that has a comma: \"name=a,b\".")
    })
}

/// The fields as pairs, keys in lower case.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, FlagError> {
    fields(text)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_ascii_lowercase(), value.to_owned())),
            None => Err(FlagError::new(format!("expected key=value but found {field:?}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_needs_an_equals_sign() {
        assert_eq!(
            pairs(r#"Type=oci,"dest=a=b,c""#).unwrap(),
            [("type".to_owned(), "oci".to_owned()), ("dest".to_owned(), "a=b,c".to_owned())]
        );
        for bad in ["type=oci,dest", "", r#""type=oci"#, r#"a="b""#] {
            assert!(pairs(bad).is_err(), "{bad}");
        }
    }
}
