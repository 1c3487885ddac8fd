//! The two files of `/etc` that a step is given.

use std::fmt::Write;
use std::net::IpAddr;

/// As BuildKit writes it (L-102), then the names of `--add-host`.
pub(super) fn hosts(hostname: &str, extra: &[(String, IpAddr)]) -> String {
    let mut text =
        format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// The host's own, since the step shares its network, with the servers of `--dns` in place of its; public
/// servers if neither names any.
pub(super) fn resolv_conf(mut host: String, servers: &[IpAddr]) -> String {
    let names_a_server = |line: &str| line.split_whitespace().next() == Some("nameserver");
    if !servers.is_empty() {
        let others = host.lines().filter(|line| !names_a_server(line));
        let servers = servers.iter().map(|server| format!("nameserver {server}"));
        return others.map(str::to_owned).chain(servers).map(|line| line + "\n").collect();
    }
    if !host.lines().any(names_a_server) {
        if !host.is_empty() && !host.ends_with('\n') {
            host.push('\n');
        }
        host.push_str("nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_the_machine_and_then_the_added() {
        let text = hosts("box", &[("db".into(), "10.0.0.7".parse().unwrap())]);
        assert_eq!(
            text,
            "127.0.0.1\tlocalhost box\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             10.0.0.7\tdb\n"
        );
    }

    #[test]
    fn servers_are_added_only_where_there_are_none() {
        for host in ["nameserver 127.0.0.53\noptions edns0\n", " nameserver\t::1"] {
            assert_eq!(resolv_conf(host.into(), &[]), host);
        }
        for host in ["", "# nameserver 1.1.1.1", "search lan\n"] {
            let text = resolv_conf(host.into(), &[]);
            assert!(text.starts_with(host));
            assert!(text.ends_with("\nnameserver 8.8.4.4\n"), "{text:?}");
            assert!(text.lines().any(|line| line == "nameserver 8.8.8.8"), "{text:?}");
        }
    }

    #[test]
    fn servers_that_are_named_take_the_place_of_the_host_s() {
        let servers = ["10.0.0.53", "fd00::53"].map(|server| server.parse().unwrap());
        assert_eq!(
            resolv_conf("search lan\nnameserver 1.1.1.1\noptions edns0".into(), &servers),
            "search lan\noptions edns0\nnameserver 10.0.0.53\nnameserver fd00::53\n"
        );
    }
}
