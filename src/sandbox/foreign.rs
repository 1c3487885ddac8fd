//! Whether programs of another architecture run here: by its own instructions where the processor has
//! them too, else by an emulator that `binfmt_misc` knows. Found out by running one that only ends,
//! since a container often can't see what is registered, and an emulator that is no part of the root
//! file system works only if the kernel holds it open (flag `F`).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::error::{RunError, Unavailable};
use super::orders::Orders;
use super::parent::run_orders;
use super::probe::empty_spec;
use super::{Cancel, Sandbox};
use crate::platform::Platform;
use crate::snapshot::WorkDir;

const PROGRAM: &str = "/exit";

/// What an executable of an architecture needs to end with code 0.
struct Machine {
    architecture: &'static str,
    /// `e_machine`
    number: u16,
    is_64_bit: bool,
    is_big_endian: bool,
    /// `e_flags`: which ABI.
    flags: u32,
    code: &'static [u8],
}

const MACHINES: [Machine; 7] = [
    // mov edi, 0; mov eax, 60; syscall
    Machine {
        architecture: "amd64",
        number: 62,
        is_64_bit: true,
        is_big_endian: false,
        flags: 0,
        code: &[0xbf, 0, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
    },
    // xor ebx, ebx; mov eax, 1; int 0x80
    Machine {
        architecture: "386",
        number: 3,
        is_64_bit: false,
        is_big_endian: false,
        flags: 0,
        code: &[0x31, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80],
    },
    // mov x0, #0; mov x8, #93; svc #0
    Machine {
        architecture: "arm64",
        number: 183,
        is_64_bit: true,
        is_big_endian: false,
        flags: 0,
        code: &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4],
    },
    // mov r0, #0; mov r7, #1; svc #0
    Machine {
        architecture: "arm",
        number: 40,
        is_64_bit: false,
        is_big_endian: false,
        flags: 0x0500_0000,
        code: &[0, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef],
    },
    // li a0, 0; li a7, 93; ecall
    Machine {
        architecture: "riscv64",
        number: 243,
        is_64_bit: true,
        is_big_endian: false,
        flags: 0,
        code: &[0x13, 0x05, 0, 0, 0x93, 0x08, 0xd0, 0x05, 0x73, 0, 0, 0],
    },
    // li r0, 1; li r3, 0; sc
    Machine {
        architecture: "ppc64le",
        number: 21,
        is_64_bit: true,
        is_big_endian: false,
        flags: 2,
        code: &[1, 0, 0, 0x38, 0, 0, 0x60, 0x38, 2, 0, 0, 0x44],
    },
    // lghi %r2, 0; svc 1
    Machine {
        architecture: "s390x",
        number: 22,
        is_64_bit: true,
        is_big_endian: true,
        flags: 0,
        code: &[0xa7, 0x29, 0, 0, 0x0a, 1],
    },
];

/// Where the code is loaded, with the headers before it.
const ADDRESS: u64 = 0x1_0000;

impl Machine {
    /// A static executable: its header, one segment that is the whole file, the code.
    fn program(&self) -> Vec<u8> {
        let (header, segment) = if self.is_64_bit { (64, 56) } else { (52, 32) };
        let size = u64::from(header) + u64::from(segment) + self.code.len() as u64;
        let entry = ADDRESS + u64::from(header) + u64::from(segment);
        let class = if self.is_64_bit { 2 } else { 1 };
        let data = if self.is_big_endian { 2 } else { 1 };
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, data, 1, 0];
        bytes.resize(16, 0);
        self.half(&mut bytes, 2);
        self.half(&mut bytes, self.number);
        self.word(&mut bytes, 1);
        self.address(&mut bytes, entry);
        self.address(&mut bytes, u64::from(header));
        self.address(&mut bytes, 0);
        self.word(&mut bytes, self.flags);
        for half in [header, segment, 1, 0, 0, 0] {
            self.half(&mut bytes, half);
        }
        let read_and_execute = 5;
        self.word(&mut bytes, 1);
        if self.is_64_bit {
            self.word(&mut bytes, read_and_execute);
        }
        for value in [0, ADDRESS, ADDRESS, size, size] {
            self.address(&mut bytes, value);
        }
        if !self.is_64_bit {
            self.word(&mut bytes, read_and_execute);
        }
        self.address(&mut bytes, ADDRESS);
        bytes.extend(self.code);
        bytes
    }

    fn half(&self, out: &mut Vec<u8>, value: u16) {
        out.extend(if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn word(&self, out: &mut Vec<u8>, value: u32) {
        out.extend(if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn address(&self, out: &mut Vec<u8>, value: u64) {
        if self.is_64_bit {
            out.extend(if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        } else {
            self.word(out, u32::try_from(value).unwrap_or(u32::MAX));
        }
    }
}

/// Runs a program of `platform` the way that steps are run. One of which no program is known here is
/// taken to work: its first RUN will tell.
pub fn probe_platform(
    sandbox: &Sandbox,
    work: &WorkDir,
    platform: &Platform,
) -> Result<(), Unavailable> {
    let host = Platform::host();
    if platform.architecture == host.architecture {
        return Ok(());
    }
    let machine = MACHINES.iter().find(|m| m.architecture == platform.architecture);
    let Some(machine) = machine else { return Ok(()) };
    let reason = match runs(sandbox, work, machine) {
        Ok(true) => return Ok(()),
        Ok(false) => "the emulator fails".to_owned(),
        // It stands in the file system of this machine, which the step does not see.
        Err(RunError::Exec { code: 127, .. }) => {
            "the emulator is registered without the flag F (fix binary)".to_owned()
        }
        Err(RunError::Exec { .. }) => "exec format error".to_owned(),
        Err(error) => error.to_string(),
    };
    let architecture = &platform.architecture;
    Err(Unavailable {
        message: format!(
            "this machine is {host} and does not run programs of {platform}: {reason}"
        ),
        hints: vec![
            format!(
                "Cross-compile: `FROM --platform=$BUILDPLATFORM` for the stage that builds, `ARG \
                 TARGETARCH` for its compiler, and no RUN for {platform}."
            ),
            format!(
                "Or register QEMU for {architecture}: in a workflow, `uses: \
                 docker/setup-qemu-action@v3` before this step; elsewhere, with Debian's \
                 qemu-user-static or what your system has instead."
            ),
        ],
    })
}

fn runs(sandbox: &Sandbox, work: &WorkDir, machine: &Machine) -> Result<bool, RunError> {
    let step = work.step().map_err(RunError::Start)?;
    let root = work.directory().map_err(RunError::Start)?;
    let program = root.join(&PROGRAM[1..]);
    fs::write(&program, machine.program()).map_err(RunError::Start)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755)).map_err(RunError::Start)?;
    let mut spec = empty_spec(&step);
    spec.lowers = vec![root.clone()];
    spec.argv = vec![PROGRAM.to_owned()];
    let cancel = Cancel::new().map_err(RunError::Start)?;
    let exit = run_orders(sandbox, &Orders::new(sandbox, &spec)?, None, &cancel, &mut |_, _| {});
    step.remove().map_err(RunError::Start)?;
    fs::remove_dir_all(&root).map_err(RunError::Start)?;
    Ok(exit?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_whole() {
        for machine in &MACHINES {
            let program = machine.program();
            let headers = if machine.is_64_bit { 64 + 56 } else { 52 + 32 };
            assert_eq!(&program[headers..], machine.code, "{}", machine.architecture);
        }
    }

    #[test]
    fn this_machine_s_own_program_ends_well() {
        let host = Platform::host();
        let machine = MACHINES.iter().find(|m| m.architecture == host.architecture).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exit");
        fs::write(&path, machine.program()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let status = std::process::Command::new(&path).status().unwrap();
        assert!(status.success(), "{status}");
    }
}
