//! Which system calls a step may make: Docker's default profile, as a filter of our own making.
//!
//! The filter knows the 32-bit calls of the same processor, so that 32-bit programs run. A call
//! newer than the profile fails with ENOSYS, not EPERM, so that programs fall back to what they
//! used before. Numbers of the x32 ABI, which hardly a kernel enables, look as if they were new.

mod bpf;
mod profile;

use std::io;

use bpf::{Calls, Verdict};
use libc::sock_filter;

/// A machine of [`profile::ALLOWED`]'s columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    X86_64,
    I386,
    Aarch64,
    Arm,
}

/// What a process of this build can be: the machine itself and its 32-bit predecessor.
const MACHINES: [Machine; 2] = if cfg!(target_arch = "x86_64") {
    [Machine::X86_64, Machine::I386]
} else {
    [Machine::Aarch64, Machine::Arm]
};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system calls of this processor have to be added to the profile");

impl Machine {
    /// `AUDIT_ARCH_*` of the kernel.
    fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    fn calls(self) -> Calls {
        let mut verdicts: Vec<(u32, Verdict)> = Vec::with_capacity(profile::ALLOWED.len() + 4);
        for (_, x86_64, i386, aarch64, arm) in profile::ALLOWED {
            let number = [*x86_64, *i386, *aarch64, *arm][self as usize];
            if number != profile::NONE {
                verdicts.push((number as u32, Verdict::Allow));
            }
        }
        let column = self as usize;
        verdicts.extend([
            (profile::SOCKET[column] as u32, Verdict::FirstWithin(profile::FAMILIES)),
            (profile::PERSONALITY[column] as u32, Verdict::FirstWithin(profile::PERSONALITIES)),
            (profile::CLONE[column] as u32, Verdict::FirstWithout(profile::NAMESPACE_FLAGS)),
            (profile::CLONE3, Verdict::Refuse(libc::ENOSYS)),
        ]);
        verdicts.sort_unstable_by_key(|(number, _)| *number);

        let mut runs = Runs(Vec::new());
        let mut next = 0;
        for (number, verdict) in verdicts {
            runs.refuse_between(next, number);
            runs.push(number, verdict);
            next = number + 1;
        }
        runs.refuse_between(next, u32::MAX);
        Calls { audit: self.audit(), runs: runs.0 }
    }
}

/// Neighbors with the same verdict become one.
struct Runs(Vec<(u32, Verdict)>);

impl Runs {
    fn push(&mut self, start: u32, verdict: Verdict) {
        if self.0.last().is_none_or(|(_, last)| *last != verdict) {
            self.0.push((start, verdict));
        }
    }

    /// Refuses `start..end`: what the profile could know with EPERM, what is newer with ENOSYS.
    fn refuse_between(&mut self, start: u32, end: u32) {
        let newer = profile::LAST_KNOWN + 1;
        if start < end.min(newer) {
            self.push(start, Verdict::Refuse(libc::EPERM));
        }
        if end > start.max(newer) {
            self.push(start.max(newer), Verdict::Refuse(libc::ENOSYS));
        }
    }
}

/// The filter for this machine.
pub(super) fn filter() -> Vec<sock_filter> {
    bpf::program(&MACHINES.iter().map(|machine| machine.calls()).collect::<Vec<_>>())
}

/// Puts the filter on the calling thread, for good. Needs CAP_SYS_ADMIN, because `no_new_privs` is
/// not set: `sudo` and `su` work in a step.
pub(super) fn install(filter: &mut [sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the call, which copies it, and its length is that of the slice.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Runs a program as the kernel would; gives what it returns.
    fn run(program: &[sock_filter], audit: u32, number: u32, first: u32) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let op = program[at];
            let (yes, no) = (at + 1 + op.jt as usize, at + 1 + op.jf as usize);
            at = match op.code {
                0x20 => {
                    accumulator = match op.k {
                        0 => number,
                        4 => audit,
                        16 => first,
                        other => panic!("loads from {other}"),
                    };
                    at + 1
                }
                0x05 => at + 1 + op.k as usize,
                0x15 => {
                    if accumulator == op.k {
                        yes
                    } else {
                        no
                    }
                }
                0x35 => {
                    if accumulator >= op.k {
                        yes
                    } else {
                        no
                    }
                }
                0x25 => {
                    if accumulator > op.k {
                        yes
                    } else {
                        no
                    }
                }
                0x45 => {
                    if accumulator & op.k != 0 {
                        yes
                    } else {
                        no
                    }
                }
                0x06 => return op.k,
                other => panic!("unknown instruction {other:#x}"),
            };
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    const ALL: [Machine; 4] = [Machine::X86_64, Machine::I386, Machine::Aarch64, Machine::Arm];

    #[test]
    fn every_number_of_every_machine_gets_its_verdict() {
        for machine in ALL {
            let program = bpf::program(&[machine.calls()]);
            let mut allowed = BTreeMap::new();
            for (name, a, b, c, d) in profile::ALLOWED {
                let number = [*a, *b, *c, *d][machine as usize];
                if number >= 0 && allowed.insert(number as u32, *name).is_some() {
                    panic!("{machine:?} has {number} twice");
                }
            }
            let special = [profile::SOCKET, profile::PERSONALITY, profile::CLONE]
                .map(|numbers| numbers[machine as usize] as u32);
            for number in (0..2000).chain(0xf_0000..0xf_0010).chain(0x4000_0000..0x4000_0300) {
                let expected = if special.contains(&number) {
                    assert!(!allowed.contains_key(&number));
                    continue;
                } else if allowed.contains_key(&number) {
                    ALLOW
                } else if number == profile::CLONE3 || number > profile::LAST_KNOWN {
                    ENOSYS
                } else {
                    EPERM
                };
                let got = run(&program, machine.audit(), number, 0);
                assert_eq!(got, expected, "{machine:?} {number} {:?}", allowed.get(&number));
            }
        }
    }

    #[test]
    fn arguments_decide_where_the_profile_says_so() {
        for machine in ALL {
            let program = bpf::program(&[machine.calls()]);
            let check = |numbers: [i32; 4], first, expected| {
                let number = numbers[machine as usize] as u32;
                let got = run(&program, machine.audit(), number, first);
                assert_eq!(got, expected, "{machine:?} {number} {first:#x}");
            };
            for family in [0, 1, 2, 10, 16, 17, 31] {
                check(profile::SOCKET, family, ALLOW);
            }
            for family in [12, 34, 38, 40, 46, 1000, u32::MAX] {
                check(profile::SOCKET, family, EPERM);
            }
            for (persona, expected) in
                [(0, ALLOW), (8, ALLOW), (0x20008, ALLOW), (u32::MAX, ALLOW), (0x40000, EPERM)]
            {
                check(profile::PERSONALITY, persona, expected);
            }
            check(profile::CLONE, libc::SIGCHLD as u32, ALLOW);
            check(profile::CLONE, (libc::CLONE_VM | libc::CLONE_VFORK) as u32, ALLOW);
            for flag in [libc::CLONE_NEWNS, libc::CLONE_NEWUSER, libc::CLONE_NEWNET] {
                check(profile::CLONE, (flag | libc::SIGCHLD) as u32, EPERM);
            }
        }
    }

    #[test]
    fn a_foreign_machine_is_killed_and_its_32_bit_sister_is_not() {
        let program = filter();
        assert!(program.len() < 2000, "{} instructions", program.len());
        assert_eq!(run(&program, 0xc000_0015, 1, 0), libc::SECCOMP_RET_KILL_PROCESS);
        for machine in MACHINES {
            assert_eq!(run(&program, machine.audit(), 3, 0), ALLOW, "{machine:?}");
        }
    }
}
