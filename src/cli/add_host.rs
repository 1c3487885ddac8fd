//! `--add-host NAME:ADDRESS` and `NAME=ADDRESS[,ADDRESS…]`.

use std::net::{IpAddr, Ipv4Addr};

use super::flag::FlagError;

/// Docker's word for the machine itself. A RUN shares its network, so that this is the loopback.
const HOST_GATEWAY: &str = "host-gateway";

/// The lines for `/etc/hosts`, one per address.
pub fn parse(text: &str) -> Result<Vec<(String, IpAddr)>, FlagError> {
    // An equals sign goes first: the address after it may be an IPv6 one with colons.
    let (name, addresses) =
        text.split_once('=').or_else(|| text.split_once(':')).unwrap_or((text, ""));
    if name.is_empty() || addresses.is_empty() {
        return Err(FlagError::new("expected NAME:ADDRESS"));
    }
    let whitespace_or_comment = |c: char| c.is_whitespace() || c.is_control() || c == '#';
    if name.contains(whitespace_or_comment) {
        return Err(FlagError::new(format!("{name:?} is not a host name")));
    }
    addresses
        .split(',')
        .map(|address| {
            if address == HOST_GATEWAY {
                return Ok((name.to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST)));
            }
            let bare = address
                .strip_prefix('[')
                .and_then(|inner| inner.strip_suffix(']'))
                .unwrap_or(address);
            match bare.parse() {
                Ok(address) => Ok((name.to_owned(), address)),
                Err(_) => Err(FlagError::new(format!("{address:?} is not an IP address"))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses() {
        for (text, expected) in [
            ("db:10.0.0.1", &["10.0.0.1"][..]),
            ("db=10.0.0.1", &["10.0.0.1"]),
            ("db=::1", &["::1"]),
            ("db:[::1]", &["::1"]),
            ("db:fe80::1", &["fe80::1"]),
            ("db=10.0.0.1,[::1]", &["10.0.0.1", "::1"]),
            ("db:host-gateway", &["127.0.0.1"]),
        ] {
            let found = parse(text).unwrap();
            assert!(found.iter().all(|(name, _)| name == "db"), "{text}");
            let found: Vec<_> = found.iter().map(|(_, address)| address.to_string()).collect();
            assert_eq!(found, expected, "{text}");
        }
        for bad in ["", "db", "db:", ":1.2.3.4", "db:1.2.3", "a b:1.2.3.4"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
