//! `EXPOSE` (L-162).

use super::PlanErrorKind;

/// Expands one specification, `[IP:][HOST:]PORT[-PORT][/PROTOCOL]`, to `PORT/PROTOCOL` each. The
/// host's side is checked and dropped.
pub(super) fn parse(text: &str) -> Result<Vec<String>, PlanErrorKind> {
    let error = |reason: String| PlanErrorKind::Port(reason);
    let mut parts = text.rsplitn(3, ':');
    // `rsplitn` yields at least one part.
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();

    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    if ports.is_empty() {
        return Err(error(format!("invalid port: {text:?}: no port specified")));
    }
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err(error(format!("invalid port: {text:?}: invalid proto: {protocol}"))),
    };
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<core::net::IpAddr>().is_err() {
        return Err(error(format!("invalid IP address: {address}")));
    }
    let (first, last) =
        range(ports).ok_or_else(|| error(format!("invalid containerPort: {ports}")))?;
    if !host.is_empty() {
        let (host_first, host_last) =
            range(host).ok_or_else(|| error(format!("invalid hostPort: {host}")))?;
        if first != last && last - first != host_last - host_first {
            return Err(error(format!(
                "invalid ranges specified for container and host Ports: {ports} and {host}"
            )));
        }
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `8000` or `8000-9000`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_are_expanded() {
        for (text, expected) in [
            ("80", "80/tcp"),
            ("53/UDP", "53/udp"),
            ("132/sctp", "132/sctp"),
            ("8000-8002/tcp", "8000/tcp 8001/tcp 8002/tcp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:8080:80", "80/tcp"),
            ("[::1]:8080:80", "80/tcp"),
            ("8000-8010:80", "80/tcp"),
            ("0", "0/tcp"),
            ("65535", "65535/tcp"),
        ] {
            assert_eq!(parse(text).map(|ports| ports.join(" ")).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("80/http", "invalid port: \"80/http\": invalid proto: http"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("65536", "invalid containerPort: 65536"),
            ("90-80", "invalid containerPort: 90-80"),
            ("x", "invalid containerPort: x"),
            ("x:80", "invalid hostPort: x"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }
}
