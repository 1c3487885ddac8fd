//! A classic BPF program out of verdicts by call number.
//!
//! A balanced tree of comparisons over the runs of numbers with one verdict: seven or eight
//! comparisons for any call, and the kernel caches what does not depend on arguments.

use libc::{
    BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    sock_filter,
};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// Fails with this error number.
    Refuse(i32),
    /// Allowed if the low half of the first argument is in one of these closed ranges, else EPERM.
    FirstWithin(&'static [(u32, u32)]),
    /// Allowed if none of these bits is set in the first argument, else EPERM.
    FirstWithout(u32),
}

/// The calls of one machine: its audit number, and the runs of call numbers, each from where it
/// starts; the first starts at 0.
pub(super) struct Calls {
    pub(super) audit: u32,
    pub(super) runs: Vec<(u32, Verdict)>,
}

// Offsets into `struct seccomp_data`. The machines are little-endian: the low half comes first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// A program that kills a process of any machine not listed.
pub(super) fn program(machines: &[Calls]) -> Vec<sock_filter> {
    let mut code = vec![load(ARCHITECTURE)];
    for machine in machines {
        let mut block = vec![load(NUMBER)];
        block.extend(tree(&machine.runs));
        code.push(jump(BPF_JEQ, machine.audit, 1, 0));
        code.push(skip(block.len()));
        code.extend(block);
    }
    code.push(give(libc::SECCOMP_RET_KILL_PROCESS));
    code
}

fn tree(runs: &[(u32, Verdict)]) -> Vec<sock_filter> {
    if let [(_, verdict)] = runs {
        return leaf(*verdict);
    }
    let (low, high) = runs.split_at(runs.len() / 2);
    let (below, above) = (tree(low), tree(high));
    // A conditional jump reaches 255 instructions, an unconditional one any distance.
    let mut code = vec![jump(BPF_JGE, high[0].0, 0, 1), skip(below.len())];
    code.extend(below);
    code.extend(above);
    code
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    match verdict {
        Verdict::Allow => vec![give(libc::SECCOMP_RET_ALLOW)],
        Verdict::Refuse(errno) => vec![refuse(errno)],
        Verdict::FirstWithin(ranges) => {
            let mut code = vec![load(FIRST_ARGUMENT)];
            for (first, last) in ranges {
                code.push(jump(BPF_JGE, *first, 0, 2));
                code.push(jump(BPF_JGT, *last, 1, 0));
                code.push(give(libc::SECCOMP_RET_ALLOW));
            }
            code.push(refuse(libc::EPERM));
            code
        }
        Verdict::FirstWithout(bits) => vec![
            load(FIRST_ARGUMENT),
            jump(BPF_JSET, bits, 1, 0),
            give(libc::SECCOMP_RET_ALLOW),
            refuse(libc::EPERM),
        ],
    }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(test: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, value, if_true, if_false)
}

fn skip(count: usize) -> sock_filter {
    // A program has at most 4096 instructions.
    instruction(BPF_JMP | BPF_JA, count as u32, 0, 0)
}

fn refuse(errno: i32) -> sock_filter {
    give(libc::SECCOMP_RET_ERRNO | errno as u32)
}

fn give(value: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, value, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}
