//! Signature Version 4 of AWS, for a POST to `/` (IAM User Guide, "Create a signed AWS API request").
//! **Pure.**

use std::fmt::Write as _;

use jiff::Timestamp;
use ring::hmac;

use super::AwsKeys;
use crate::digest::Sha256Sum;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Where and when a signature counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub at: Timestamp,
    pub region: &'a str,
    pub service: &'a str,
}

impl Scope<'_> {
    /// The value of `X-Amz-Date`.
    pub(super) fn time(&self) -> String {
        self.at.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    fn text(&self) -> String {
        let (date, Self { region, service, .. }) = (self.at.strftime("%Y%m%d"), self);
        format!("{date}/{region}/{service}/aws4_request")
    }
}

/// The value of `Authorization`. `headers` are all that are sent but this one and what the transport
/// adds: names in lower case and in order, values without space around them.
pub(super) fn authorization(
    keys: &AwsKeys,
    scope: Scope<'_>,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut request = "POST\n/\n\n".to_owned();
    for (name, value) in headers {
        let _ = writeln!(request, "{name}:{value}");
    }
    let _ = write!(request, "\n{names}\n{}", Sha256Sum::of(body).hex());
    let (place, sum) = (scope.text(), Sha256Sum::of(request.as_bytes()).hex());
    let text = format!("{ALGORITHM}\n{}\n{place}\n{sum}", scope.time());
    let key = signing_key(&keys.secret.0, &place);
    let mut signature = String::new();
    for byte in sign(&key, text.as_bytes()).as_ref() {
        let _ = write!(signature, "{byte:02x}");
    }
    format!(
        "{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        keys.id
    )
}

/// Each part of the scope signs the next.
fn signing_key(secret: &[u8], scope: &str) -> Vec<u8> {
    let first = [b"AWS4", secret].concat();
    scope.split('/').fold(first, |key, part| sign(&key, part.as_bytes()).as_ref().to_vec())
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Secret;

    const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn the_key_is_that_of_aws_s_example() {
        let key = signing_key(SECRET, "20150830/us-east-1/iam/aws4_request");
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    /// Those requests of AWS's test suite for Signature Version 4 that are a POST to `/`.
    #[test]
    fn signatures_are_those_of_aws_s_test_suite() {
        let host = ("host", "example.amazonaws.com");
        let date = ("x-amz-date", "20150830T123600Z");
        let form = ("content-type", "application/x-www-form-urlencoded");
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFq\
            wAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKs\
            burEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL\
            64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        for (headers, body, names, signature) in [
            (
                &[host, date][..],
                &b""[..],
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                &[host, ("my-header1", "value1"), date],
                b"",
                "host;my-header1;x-amz-date",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                &[host, date, ("x-amz-security-token", token)],
                b"",
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                &[form, host, date],
                b"Param1=value1",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let keys = AwsKeys {
                id: "AKIDEXAMPLE".to_owned(),
                secret: Secret(SECRET.to_vec()),
                session_token: None,
            };
            let at = "2015-08-30T12:36:00Z".parse().unwrap();
            let scope = Scope { at, region: "us-east-1", service: "service" };
            assert_eq!(
                authorization(&keys, scope, headers, body),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={names}, Signature={signature}"
                )
            );
        }
    }
}
