//! Programs of others that listen on a port they are told, of the loopback interface.
//!
//! A port that was free when it was chosen may be another's when the program gets to it: other tests
//! listen too, and every connection has a port. So a program that does not get its port is started
//! again on another one, and it is only believed to listen when the socket is its own: whoever else
//! has the port would answer as well.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Child;
use std::time::{Duration, Instant};

const ATTEMPTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a program on a free port; `spawn` does so with the port that it gets.
pub fn start(program: &str, mut spawn: impl FnMut(u16) -> Child) -> (Child, u16) {
    for _ in 0..ATTEMPTS {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if let Some(child) = attempt(program, port, || spawn(port)) {
            return (child, port);
        }
    }
    panic!("{program} ended {ATTEMPTS} times before it listened");
}

/// Starts a program on the port that it had before; whoever took it meanwhile is waited for.
pub fn resume(program: &str, port: u16, mut spawn: impl FnMut() -> Child) -> Child {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Some(child) = attempt(program, port, &mut spawn) {
            return child;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{program} does not get its port {port} back");
}

/// `None` if it ended, as programs do whose port is another's.
fn attempt(program: &str, port: u16, spawn: impl FnOnce() -> Child) -> Option<Child> {
    let mut child = spawn();
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if listens(&child, port) {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("{program} neither listens on port {port} nor ends");
}

/// One of the process's own sockets listens on the port.
fn listens(child: &Child, port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let Some(inode) = sockets.lines().find_map(|line| listener(line, port)) else { return false };
    let Ok(files) = fs::read_dir(format!("/proc/{}/fd", child.id())) else { return false };
    let socket = format!("socket:[{inode}]");
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
    })
}

/// The inode of the socket in a line of `/proc/net/tcp`, if it listens on the port. Numbers are
/// hexadecimal, and addresses are in the byte order of the machine.
fn listener(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let loopback = u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets());
    (local == format!("{loopback:08X}:{port:04X}") && state == LISTEN).then_some(inode)
}
