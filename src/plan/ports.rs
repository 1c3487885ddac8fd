//! `EXPOSE` (L-162).

use super::PlanErrorKind;

/// `[IP:][HOST:]PORT[-PORT][/PROTOCOL]`, not yet expanded.
pub(super) struct Port<'a> {
    pub text: &'a str,
    pub address: &'a str,
    pub host: &'a str,
    ports: &'a str,
    /// As written; empty for `tcp`.
    pub protocol: &'a str,
}

impl<'a> Port<'a> {
    pub(super) fn split(text: &'a str) -> Result<Self, PlanErrorKind> {
        let mut parts = text.rsplitn(3, ':');
        // `rsplitn` yields at least one part.
        let container = parts.next().unwrap_or_default();
        let host = parts.next().unwrap_or_default();
        let address = parts.next().unwrap_or_default();
        let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
        let error =
            |reason: String| PlanErrorKind::Port(format!("invalid port: {text:?}: {reason}"));
        if ports.is_empty() {
            return Err(error("no port specified".to_owned()));
        }
        if !matches!(protocol.to_ascii_lowercase().as_str(), "" | "tcp" | "udp" | "sctp") {
            return Err(error(format!("invalid proto: {protocol}")));
        }
        Ok(Self { text, address, host, ports, protocol })
    }

    /// `PORT/PROTOCOL` of each; the host's side is checked and dropped.
    pub(super) fn expand(&self) -> Result<Vec<String>, PlanErrorKind> {
        let Self { address, host, ports, .. } = *self;
        let error = |reason: String| PlanErrorKind::Port(reason);
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        if !bare.is_empty() && bare.parse::<core::net::IpAddr>().is_err() {
            return Err(error(format!("invalid IP address: {bare}")));
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
        let protocol = match self.protocol {
            "" => "tcp".to_owned(),
            written => written.to_ascii_lowercase(),
        };
        Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
    }
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

    fn parse(text: &str) -> Result<Vec<String>, PlanErrorKind> {
        Port::split(text)?.expand()
    }

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
