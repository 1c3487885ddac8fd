//! Steps in real namespaces: what a command sees, what it may do, and what is left of it.
//!
//! Needs root and a static busybox; without them every test says so and passes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::request::{Network, Secret, Security, Ulimit};
use plimsoll::sandbox::{
    Cancel, CgroupParent, Exit, RunError, RunMount, RunMountKind, RunSpec, Sandbox, Stream,
    UserIds, probe_with, run,
};
use plimsoll::snapshot::{StepDirs, WorkDir};

/// A small root file system and a place for steps.
struct Machine {
    sandbox: Sandbox,
    base: PathBuf,
    work: WorkDir,
    directory: tempfile::TempDir,
}

struct Outcome {
    result: Result<Exit, RunError>,
    stdout: String,
    stderr: String,
    dirs: StepDirs,
}

impl Machine {
    /// `None`, loudly, where steps can't be tried.
    fn new() -> Option<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| {
            // A dynamic one names its loader near the beginning.
            fs::read(path)
                .is_ok_and(|bytes| !bytes[..4096].windows(8).any(|part| part == b"ld-linux"))
        });
        let Some(busybox) = busybox else {
            eprintln!("SKIPPED: needs a static busybox (Debian package busybox-static)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_plimsoll"));
        let work = WorkDir::create(&directory.path().join("work")).unwrap();
        let sandbox = match probe_with(executable, &work) {
            Ok(sandbox) => sandbox,
            Err(unavailable) => {
                eprintln!("SKIPPED: {unavailable}: {:?}", unavailable.hints);
                return None;
            }
        };
        let base = directory.path().join("base");
        for name in ["bin", "etc", "root", "tmp"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        chmod(&base, 0o755);
        chmod(&base.join("tmp"), 0o1777);
        fs::copy(busybox, base.join("bin/busybox")).unwrap();
        for applet in std::process::Command::new(busybox)
            .arg("--list")
            .output()
            .map(|output| String::from_utf8(output.stdout).unwrap())
            .unwrap()
            .lines()
            .filter(|applet| *applet != "busybox")
        {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        // Places for the two files that every step gets; other tests have roots without them.
        fs::write(base.join("etc/resolv.conf"), "").unwrap();
        fs::write(base.join("etc/hosts"), "").unwrap();
        Some(Self { sandbox, base, work, directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spec(&self, argv: &[&str]) -> (RunSpec, StepDirs) {
        let dirs = self.work.step().unwrap();
        let spec = RunSpec {
            lowers: vec![self.base.clone()],
            upper: dirs.upper.clone(),
            work: dirs.work.clone(),
            scratch: dirs.scratch.clone(),
            argv: argv.iter().map(ToString::to_string).collect(),
            env: vec![("PATH".into(), "/bin".into()), ("HOME".into(), "/root".into())],
            cwd: "/".into(),
            user: UserIds::default(),
            hostname: "buildkitsandbox".into(),
            hosts: Vec::new(),
            dns: Vec::new(),
            network: Network::Default,
            security: Security::Sandbox,
            shm_size: None,
            ulimits: Vec::new(),
            mounts: Vec::new(),
            scripts: Vec::new(),
            cgroup: None,
        };
        (spec, dirs)
    }

    fn run(&self, argv: &[&str], change: impl FnOnce(&mut RunSpec)) -> Outcome {
        self.run_until(argv, &Cancel::new().unwrap(), change)
    }

    fn run_until(
        &self,
        argv: &[&str],
        cancel: &Cancel,
        change: impl FnOnce(&mut RunSpec),
    ) -> Outcome {
        let (mut spec, dirs) = self.spec(argv);
        change(&mut spec);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let result = run(&self.sandbox, &spec, cancel, &mut |stream, bytes| match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { result, stdout: text(stdout), stderr: text(stderr), dirs }
    }

    fn sh(&self, script: &str, change: impl FnOnce(&mut RunSpec)) -> Outcome {
        self.run(&["/bin/sh", "-ec", script], change)
    }

    /// What a script that has to succeed prints.
    fn output(&self, script: &str, change: impl FnOnce(&mut RunSpec)) -> String {
        self.sh(script, change).ok()
    }
}

impl Outcome {
    fn ok(self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    fn code(&self) -> i32 {
        match &self.result {
            Ok(exit) => exit.code,
            Err(error) => panic!("{error}: {error:?}"),
        }
    }

    fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }

    /// Paths of the upper directory, sorted.
    fn upper(&self) -> Vec<String> {
        fn walk(directory: &Path, below: &Path, paths: &mut Vec<String>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                paths.push(path.strip_prefix(below).unwrap().to_str().unwrap().to_string());
                if path.symlink_metadata().unwrap().is_dir() {
                    walk(&path, below, paths);
                }
            }
        }
        let mut paths = Vec::new();
        walk(&self.dirs.upper, &self.dirs.upper, &mut paths);
        paths.sort();
        paths
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn cache(directory: &Path, readonly: bool) -> RunMountKind {
    RunMountKind::Cache { directory: directory.to_owned(), subpath: String::new(), readonly }
}

fn mount(target: &str, kind: RunMountKind) -> RunMount {
    RunMount { target: target.into(), kind }
}

/// The value of a line `name value` or `name:\tvalue`.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.split([':', ' ']).next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))[name.len() + 1..].trim()
}

/// A program that makes one system call and exits with the error number that it gets.
fn syscall_program(number: u32, first: u32) -> Vec<u8> {
    let (n, f) = (number.to_le_bytes(), first.to_le_bytes());
    let mut code = vec![0xb8, n[0], n[1], n[2], n[3], 0xbf, f[0], f[1], f[2], f[3]];
    // xor esi,esi; xor edx,edx; syscall; neg eax; mov edi,eax; mov eax,60; syscall
    code.extend([0x31, 0xf6, 0x31, 0xd2, 0x0f, 0x05, 0xf7, 0xd8, 0x89, 0xc7]);
    code.extend([0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    elf.extend(0x40_0078_u64.to_le_bytes());
    elf.extend(64_u64.to_le_bytes());
    elf.extend(0_u64.to_le_bytes());
    elf.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0");
    elf.extend(b"\x01\0\0\0\x05\0\0\0");
    let size = 120 + code.len() as u64;
    for value in [0, 0x40_0000, 0x40_0000, size, size, 0x1000] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(code);
    elf
}

/// The same for a 32-bit process.
fn syscall_program_32(number: u32, first: u32) -> Vec<u8> {
    let (n, f) = (number.to_le_bytes(), first.to_le_bytes());
    let mut code = vec![0xb8, n[0], n[1], n[2], n[3], 0xbb, f[0], f[1], f[2], f[3]];
    // xor ecx,ecx; xor edx,edx; int 0x80; neg eax; mov ebx,eax; mov eax,1; int 0x80
    code.extend([0x31, 0xc9, 0x31, 0xd2, 0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3]);
    code.extend([0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    for value in [0x40_0054_u32, 52, 0, 0] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(b"\x34\0\x20\0\x01\0\0\0\0\0\0\0");
    let size = 84 + code.len() as u32;
    for value in [1, 0, 0x40_0000, 0x40_0000, size, size, 5, 0x1000] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(code);
    elf
}

fn write_program(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    chmod(path, 0o755);
}

// ---- the command and its end

#[test]
fn exit_codes_and_signals_come_back() {
    let Some(machine) = Machine::new() else { return };
    for (script, code, signal) in [
        ("exit 0", 0, None),
        ("exit 3", 3, None),
        ("exit 255", 255, None),
        ("sh -c 'kill -TERM $$' || exit $?", 143, None),
    ] {
        let exit = machine.sh(script, |_| {}).result.unwrap();
        assert_eq!((exit.code, exit.signal, exit.out_of_memory), (code, signal, false), "{script}");
    }
    if cfg!(target_arch = "x86_64") {
        // ud2, as process 1
        let mut program = syscall_program(39, 0);
        program.truncate(120);
        program.extend([0x0f, 0x0b]);
        write_program(&machine.base.join("bin/crash"), &program);
        let exit = machine.run(&["crash"], |_| {}).result.unwrap();
        assert_eq!((exit.code, exit.signal), (128 + 4, Some(4)));
    }
}

#[test]
fn the_command_is_process_1_with_its_own_session_and_no_input() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output("echo $$; cat; ls -l /proc/self/fd; umask", |_| {});
    assert!(text.starts_with("1\n"), "{text}");
    assert!(text.contains("0 -> /dev/null"), "{text}");
    assert!(text.ends_with("0022\n"), "{text}");
    // 0, 1, 2 and the listed directory itself.
    assert_eq!(text.lines().filter(|line| line.starts_with('l')).count(), 4, "{text}");
}

#[test]
fn the_environment_is_what_was_given_and_nothing_else() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.run(&["env"], |spec| {
        spec.env.push(("GREETING".into(), "hello  world".into()));
        spec.env.push(("EMPTY".into(), String::new()));
    });
    assert_eq!(text.ok(), "PATH=/bin\nHOME=/root\nGREETING=hello  world\nEMPTY=\n");
}

#[test]
fn a_command_that_is_not_there_or_not_executable_is_an_error_with_a_code() {
    let Some(machine) = Machine::new() else { return };
    write_program(&machine.base.join("bin/orphan"), b"#!/no/such/interpreter\n");
    write_program(&machine.base.join("bin/garbage"), b"\x01\x02\x03\x04");
    fs::write(machine.base.join("bin/data"), "data").unwrap();
    for (program, expected, code) in [
        ("nope", "exec: \"nope\": executable file not found in $PATH", 127),
        ("/bin/nope", "exec: \"/bin/nope\": no such file or directory", 127),
        ("bin/orphan", "exec: \"bin/orphan\": its interpreter or loader is missing", 127),
        ("orphan", "exec: \"orphan\": its interpreter or loader is missing", 127),
        ("data", "exec: \"data\": permission denied", 126),
        ("/bin/data", "exec: \"/bin/data\": permission denied", 126),
        ("/bin", "exec: \"/bin\": permission denied", 126),
        ("garbage", "exec: \"garbage\": exec format error", 126),
    ] {
        match machine.run(&[program], |_| {}).result {
            Err(RunError::Exec { message, code: got }) => {
                assert_eq!((&*message, got), (expected, code), "{program}");
            }
            other => panic!("{program}: {other:?}"),
        }
    }
}

#[test]
fn the_working_directory_is_entered_or_made() {
    let Some(machine) = Machine::new() else { return };
    assert_eq!(machine.output("pwd", |spec| spec.cwd = "/root".into()), "/root\n");
    let outcome = machine.sh("pwd", |spec| {
        spec.cwd = "/made/for/this".into();
        (spec.user.uid, spec.user.gid) = (7, 8);
    });
    assert_eq!(outcome.upper(), ["made", "made/for", "made/for/this"]);
    for path in outcome.upper() {
        let made = fs::metadata(outcome.dirs.upper.join(path)).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (7, 8, 0o755));
    }
    assert_eq!(outcome.ok(), "/made/for/this\n");
    let outcome = machine.sh("pwd", |spec| spec.cwd = "/etc/passwd".into());
    assert_eq!(
        outcome.error(),
        "failed to make the working directory /etc/passwd: not a directory"
    );
}

#[test]
fn both_streams_arrive_whole_even_after_one_is_closed() {
    let Some(machine) = Machine::new() else { return };
    let outcome = machine.sh("echo out; echo err >&2; exec >&-; sleep 0.1; echo more >&2", |_| {});
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("out\n", "err\nmore\n"));

    let outcome = machine.sh(
        "dd if=/dev/zero bs=1M count=24 2>/dev/null | tr '\\0' a; \
         dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' b >&2",
        |_| {},
    );
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (24 << 20, 8 << 20));
    assert!(outcome.stdout.bytes().all(|byte| byte == b'a'));
}

#[test]
fn orphans_end_with_the_command() {
    let Some(machine) = Machine::new() else { return };
    let begun = Instant::now();
    let outcome = machine.sh("sleep 987 & setsid sleep 987 & exit 3", |_| {});
    assert_eq!(outcome.code(), 3);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert!(!someone_runs("987"));
}

fn someone_runs(argument: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
    })
}

#[test]
fn cancel_ends_a_step_with_all_its_processes() {
    let Some(machine) = Machine::new() else { return };
    for (name, script) in [
        ("deaf", "sleep 654 & echo up; sleep 654"),
        ("handles it", "trap 'echo bye; exit 7' TERM; sleep 654 & echo up; wait"),
    ] {
        let cancel = Cancel::new().unwrap();
        let (spec, _) = machine.spec(&["/bin/sh", "-c", script]);
        let mut text = Vec::new();
        let result = run(&machine.sandbox, &spec, &cancel, &mut |_, bytes| {
            text.extend_from_slice(bytes);
            cancel.cancel();
        });
        assert!(matches!(result, Err(RunError::Canceled)), "{name}: {result:?}");
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.contains("bye"), name == "handles it", "{text}");
        assert!(!someone_runs("654"));
    }
    let canceled = Cancel::new().unwrap();
    canceled.cancel();
    let outcome = machine.run_until(&["true"], &canceled, |_| {});
    assert!(matches!(outcome.result, Err(RunError::Canceled)));
}

#[test]
fn a_step_that_ignores_sigterm_is_killed_after_its_grace() {
    let Some(machine) = Machine::new() else { return };
    let cancel = Cancel::new().unwrap();
    let (spec, _) =
        machine.spec(&["/bin/sh", "-c", "trap : TERM; echo up; while :; do sleep 1; done"]);
    let result = run(&machine.sandbox, &spec, &cancel, &mut |_, _| cancel.cancel());
    assert!(matches!(result, Err(RunError::Canceled)), "{result:?}");
}

/// Waits until a process with this argument is there or gone.
fn wait_until(there: bool, argument: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while someone_runs(argument) != there {
        assert!(
            Instant::now() < deadline,
            "{argument} is {}there",
            if there { "not " } else { "" }
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ids of the processes with this name and parent.
fn children(parent: u32, name: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, fs::read_to_string(entry.path().join("cmdline")).ok()?, entry.path()))
    });
    statuses
        .filter(|(_, cmdline, _)| cmdline.split('\0').next() == Some(name))
        .filter(|(_, _, path)| {
            fs::read_to_string(path.join("status"))
                .is_ok_and(|status| field(&status, "PPid") == parent.to_string())
        })
        .map(|(pid, _, _)| pid)
        .collect()
}

#[test]
fn a_step_dies_with_the_program_or_with_its_keeper() {
    let Some(machine) = Machine::new() else { return };
    for kill_keeper in [false, true] {
        let mut program = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "in_another_process_run_for_long", "--ignored"])
            // What it can't remove any more goes with this test.
            .env("TMPDIR", machine.directory.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until(true, "32123");
        if kill_keeper {
            for keeper in children(program.id(), "plimsoll-step") {
                let pid = rustix::process::Pid::from_raw(keeper as i32).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        } else {
            program.kill().unwrap();
        }
        wait_until(false, "32123");
        program.wait().unwrap();
    }
}

#[test]
#[ignore = "the other half of a test, which kills it"]
fn in_another_process_run_for_long() {
    let machine = Machine::new().unwrap();
    let outcome = machine.run(&["sleep", "32123"], |_| {});
    assert!(matches!(outcome.result, Err(RunError::NoReport)), "{:?}", outcome.result);
}

#[test]
fn without_root_the_probe_says_what_to_do() {
    let Some(machine) = Machine::new() else { return };
    // Where another user can reach it.
    let program = machine.path("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    chmod(machine.directory.path(), 0o755);
    let keeper = machine.path("keeper");
    fs::copy(env!("CARGO_BIN_EXE_plimsoll"), &keeper).unwrap();
    let work = machine.path("work-of-nobody");
    fs::create_dir(&work).unwrap();
    std::os::unix::fs::chown(&work, Some(65534), Some(65534)).unwrap();
    let output = std::process::Command::new(&program)
        .args(["--exact", "as_another_user_probe", "--ignored", "--nocapture"])
        .current_dir(&work)
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

#[test]
#[ignore = "the other half of a test, which gives it another user and two files"]
fn as_another_user_probe() {
    let work = WorkDir::create(Path::new(".")).unwrap();
    let unavailable = probe_with("../keeper".into(), &work).unwrap_err();
    assert!(unavailable.to_string().contains("not permitted"), "{unavailable}");
    assert_eq!(unavailable.hints, ["Run as root: sudo plimsoll build …"]);
}

// ---- what it may do

#[test]
fn user_and_groups_are_those_given() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output("id -u; id -g; id -G; echo ok > /dev/stdout", |spec| {
        spec.user = UserIds { uid: 1234, gid: 5678, groups: vec![5678, 42, 4711] };
    });
    assert_eq!(text, "1234\n5678\n5678 42 4711\nok\n");
    assert_eq!(machine.output("id -G", |_| {}), "0\n");
}

#[test]
fn capabilities_are_dockers() {
    let Some(machine) = Machine::new() else { return };
    let status = machine.output("cat /proc/1/status", |_| {});
    let caps = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| field(&status, name));
    let (none, default) = ("0000000000000000", "00000000a80425fb");
    assert_eq!(caps, [none, default, default, default, none]);
    assert_eq!(field(&status, "NoNewPrivs"), "0");
    assert_eq!(field(&status, "Seccomp"), "2");

    let status = machine.output("cat /proc/1/status", |spec| spec.user.uid = 1000);
    let caps = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| field(&status, name));
    assert_eq!(caps, [none, none, none, default, none]);

    let status = machine.output("cat /proc/1/status", |spec| spec.security = Security::Insecure);
    assert_eq!(field(&status, "Seccomp"), "0");
    let effective = u64::from_str_radix(field(&status, "CapEff"), 16).unwrap();
    assert_ne!(effective & 1 << 21, 0, "CAP_SYS_ADMIN");
    machine.output("mount -t tmpfs x /tmp; umount /tmp", |spec| {
        spec.security = Security::Insecure;
    });
}

#[test]
#[cfg(target_arch = "x86_64")]
fn system_calls_are_filtered_for_64_and_32_bits() {
    let Some(machine) = Machine::new() else { return };
    let program = machine.base.join("bin/call");
    let (eperm, enosys) = (1, 38);
    let enters_uts = 0x400_0000;
    for (what, number, first, expected) in [
        ("unshare", 272, enters_uts, eperm),
        ("keyctl", 250, 0, eperm),
        ("add_key", 248, 0, eperm),
        ("io_uring_setup", 425, 1, eperm),
        ("clone of a user namespace", 56, 0x1000_0000 | 17, eperm),
        ("clone3", 435, 0, enosys),
        ("a call of the future", 600, 0, enosys),
        ("getpid of x32", 0x4000_0027, 0, enosys),
        ("socket of the crypto family", 41, 38, eperm),
        ("umask", 95, 0, -0o22 & 0xff),
        ("chroot", 161, 0, 14),
    ] {
        write_program(&program, &syscall_program(number, first));
        assert_eq!(machine.run(&["call"], |_| {}).code(), expected, "{what}");
    }
    write_program(&program, &syscall_program_32(60, 0));
    if let Err(RunError::Exec { message, .. }) = machine.run(&["call"], |_| {}).result {
        eprintln!("SKIPPED: no 32-bit processes here: {message}");
        return;
    }
    for (what, number, first, expected) in [
        ("umask", 60, 0, -0o22 & 0xff),
        ("unshare", 310, enters_uts, eperm),
        ("keyctl", 288, 0, eperm),
        ("clone3", 435, 0, enosys),
        ("a call of the future", 600, 0, enosys),
    ] {
        write_program(&program, &syscall_program_32(number, first));
        assert_eq!(machine.run(&["call"], |_| {}).code(), expected, "{what} of 32 bits");
    }
}

#[test]
fn the_kernel_s_own_files_are_hidden_or_read_only() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output(
        "head -c 1 /proc/kcore | wc -c; ls /sys/firmware | wc -l; \
         (mkdir /sys/kernel/x) 2>&1 || true; \
         (echo 1 > /proc/sys/kernel/panic) 2>&1 || true; \
         mount -t tmpfs x /tmp 2>&1 || true",
        |_| {},
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["0", "0"], "{text}");
    assert_eq!(lines.len(), 5, "{text}");
    for line in &lines[2..4] {
        assert!(line.contains("Read-only file system"), "{line}");
    }
    assert!(lines[4].to_lowercase().contains("permi"), "{text}");
}

#[test]
fn devices_are_the_harmless_ones_only() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output(
        "ls /dev | tr '\\n' ' '; echo; echo x > /dev/null; head -c 4 /dev/zero | wc -c; \
         head -c 4 /dev/urandom | wc -c; \
         mknod /tmp/disk b 254 0; mknod /dev/disk b 254 0; \
         cat /tmp/disk /dev/disk 2>&1 | head -2; ls -l /dev/fd/1 > /dev/stderr; touch /dev/shm/x",
        |_| {},
    );
    let lines: Vec<&str> = text.lines().collect();
    // A kernel without it has no link to it either.
    assert_eq!(
        lines[0].trim().trim_start_matches("core "),
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    assert_eq!(lines[1..3], ["4", "4"]);
    assert_eq!(lines.len(), 5, "{text}");
    for line in &lines[3..] {
        assert!(line.contains("Permission denied"), "{line}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_set_user_id_program_works() {
    let Some(machine) = Machine::new() else { return };
    let program = machine.base.join("bin/geteuid");
    write_program(&program, &syscall_program(107, 0));
    for (mode, uid) in [(0o755, 7), (0o4755, 0)] {
        chmod(&program, mode);
        let outcome = machine.run(&["geteuid"], |spec| spec.user.uid = 7);
        assert_eq!(-outcome.code() & 0xff, uid, "{mode:o}");
    }
}

#[test]
fn ulimits_are_set() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output("ulimit -Sn; ulimit -Hn; ulimit -c", |spec| {
        let limit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
        spec.ulimits = vec![limit("nofile", 321, 654), limit("core", -1, -1)];
    });
    assert_eq!(text, "321\n654\nunlimited\n");
    let outcome = machine.sh("true", |spec| {
        spec.ulimits = vec![Ulimit { name: "nonsense".into(), soft: 1, hard: 1 }];
    });
    assert_eq!(outcome.error(), "unknown ulimit \"nonsense\"");
}

// ---- what it sees

#[test]
fn names_and_addresses() {
    let Some(machine) = Machine::new() else { return };
    let text =
        machine.output("hostname; cat /etc/hosts; grep -c nameserver /etc/resolv.conf", |spec| {
            spec.hostname = "my-box".into();
            spec.hosts = vec![("db".into(), "10.1.2.3".parse().unwrap())];
        });
    let (before, count) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(
        before,
        "my-box\n127.0.0.1\tlocalhost my-box\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         10.1.2.3\tdb"
    );
    assert_ne!(count, "0");
}

#[test]
fn no_network_means_loopback_alone() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output("ls /sys/class/net; ip addr show lo; ping -c 1 127.0.0.1", |spec| {
        spec.network = Network::None;
    });
    assert!(text.starts_with("lo\n") && text.contains("LOOPBACK,UP"), "{text}");
    assert!(text.contains("1 packets received"), "{text}");
    let host = fs::read_dir("/sys/class/net").unwrap().count();
    let text = machine.output("ls /sys/class/net | wc -l", |_| {});
    assert_eq!(text.trim(), host.to_string());
}

#[test]
fn no_process_of_the_host_is_seen() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.output("ls /proc | grep -E '^[0-9]+$' | wc -l", |_| {});
    assert!(text.trim().parse::<usize>().unwrap() <= 4, "{text}");
}

#[test]
fn scripts_are_executable_files() {
    let Some(machine) = Machine::new() else { return };
    let outcome = machine.run(&["/dev/pipes/EOF"], |spec| {
        spec.scripts = vec![("EOF".into(), "#!/bin/sh\necho from a script\n".into())];
    });
    assert_eq!(outcome.upper(), Vec::<String>::new());
    assert_eq!(outcome.ok(), "from a script\n");
}

#[test]
fn shared_memory_has_its_size() {
    let Some(machine) = Machine::new() else { return };
    for (size, expected) in [(None, "65536"), (Some(8 << 20), "8192")] {
        let text = machine.output("df -k /dev/shm | tail -1", |spec| spec.shm_size = size);
        assert_eq!(text.split_whitespace().nth(1), Some(expected), "{text}");
    }
}

// ---- what it leaves

#[test]
fn changes_land_in_the_upper_directory() {
    let Some(machine) = Machine::new() else { return };
    fs::create_dir(machine.base.join("old")).unwrap();
    fs::write(machine.base.join("old/file"), "x").unwrap();
    let outcome = machine
        .sh("echo new > /new; rm /etc/passwd; rm -r /old; mkdir /old; chmod 700 /tmp", |_| {});
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.upper(), ["etc", "etc/passwd", "new", "old", "tmp"]);
    let whiteout = outcome.dirs.upper.join("etc/passwd").symlink_metadata().unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let opaque = rustix_getxattr(&outcome.dirs.upper.join("old"), "trusted.overlay.opaque");
    assert_eq!(opaque, b"y");
    assert_eq!(machine.base.join("old/file").metadata().unwrap().len(), 1);
}

fn rustix_getxattr(path: &Path, name: &str) -> Vec<u8> {
    let mut buffer = vec![0; 16];
    let length = rustix::fs::getxattr(path, name, &mut buffer[..]).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn a_step_that_does_nothing_leaves_nothing_in_any_root() {
    let Some(machine) = Machine::new() else { return };
    // A root with nothing but a shell, without /proc, /sys, /dev and /etc.
    let bare = machine.path("bare");
    fs::create_dir_all(bare.join("bin")).unwrap();
    fs::copy(machine.base.join("bin/busybox"), bare.join("bin/sh")).unwrap();
    // A root whose resolv.conf is a dangling link, as with systemd's resolver.
    let linked = machine.path("linked");
    fs::create_dir_all(linked.join("bin")).unwrap();
    fs::create_dir_all(linked.join("etc")).unwrap();
    fs::copy(machine.base.join("bin/busybox"), linked.join("bin/sh")).unwrap();
    symlink("../run/resolve/stub.conf", linked.join("etc/resolv.conf")).unwrap();
    for root in [&machine.base, &bare, &linked] {
        chmod(root, 0o751);
        let outcome = machine.sh("[ -s /etc/resolv.conf ] && [ -s /etc/hosts ]", |spec| {
            spec.lowers = vec![root.clone()];
        });
        assert_eq!(outcome.code(), 0);
        let left = outcome.upper();
        // Copying up the directory that the stub was in is the overlay's way.
        assert!(left.is_empty() || left == ["etc"], "{left:?}");
        let upper = outcome.dirs.upper.metadata().unwrap();
        assert_eq!(upper.mode() & 0o7777, 0o751);
        if left == ["etc"] {
            let (upper, lower) = (outcome.dirs.upper.join("etc"), root.join("etc"));
            let time = |path: &Path| {
                let metadata = path.metadata().unwrap();
                (metadata.mtime(), metadata.mtime_nsec())
            };
            assert_eq!(time(&upper), time(&lower));
        }
    }
}

#[test]
fn no_mount_leaves_a_stub_unless_the_step_fills_it() {
    let Some(machine) = Machine::new() else { return };
    let source = machine.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "hello").unwrap();
    let socket = machine.path("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let secret = || Secret(b"canary".to_vec());
    let mounts = || {
        let bind = |writable, subpath: &str| RunMountKind::Bind {
            source: source.clone(),
            subpath: subpath.into(),
            writable,
        };
        let tree = RunMountKind::Tree {
            lowers: vec![source.clone()],
            subpath: "".into(),
            writable: false,
        };
        let cache = cache(&source, true);
        vec![
            mount("/m/bind", bind(false, "")),
            mount("/m/file", bind(false, "file")),
            mount("/m/writable", bind(true, "")),
            mount("/m/tree", tree),
            mount("/m/cache", cache),
            mount("/m/tmpfs", RunMountKind::Tmpfs { size: None }),
            mount(
                "/run/secrets/one",
                RunMountKind::Secret { content: secret(), mode: 0o400, uid: 0, gid: 0 },
            ),
            mount(
                "/run/buildkit/ssh_agent.0",
                RunMountKind::Ssh { socket: socket.clone(), mode: 0o600, uid: 0, gid: 0 },
            ),
        ]
    };
    let check = "cat /m/bind/file /m/file /m/writable/file /m/tree/file /m/cache/file; \
                 ls /m/tmpfs; cat /run/secrets/one; [ -S /run/buildkit/ssh_agent.0 ]";
    let outcome = machine.sh(check, |spec| spec.mounts = mounts());
    assert_eq!(outcome.upper(), Vec::<String>::new());
    assert_eq!(outcome.ok(), "hello".repeat(5) + "canary");

    let outcome = machine.sh("echo mine > /run/kept", |spec| spec.mounts = mounts());
    assert_eq!(outcome.upper(), ["run", "run/kept"]);
}

// ---- mounts

#[test]
fn a_bind_is_read_only_unless_writable_and_then_thrown_away() {
    let Some(machine) = Machine::new() else { return };
    let source = machine.path("source");
    fs::create_dir(&source).unwrap();
    chmod(&source, 0o750);
    fs::write(source.join("file"), "old").unwrap();
    let bind = |subpath: &str, writable| {
        let subpath = subpath.to_string();
        vec![mount("/src", RunMountKind::Bind { source: source.clone(), subpath, writable })]
    };
    let text = machine.output("(echo new > /src/file) 2>&1 || true", |spec| {
        spec.mounts = bind("", false);
    });
    assert!(text.contains("Read-only file system"), "{text}");

    let script = "stat -c %a /src; echo new > /src/file; touch /src/more; cat /src/file";
    let outcome = machine.sh(script, |spec| spec.mounts = bind("", true));
    assert_eq!(outcome.upper(), Vec::<String>::new());
    assert_eq!(outcome.ok(), "750\nnew\n");
    let text = machine.output("echo new > /src; cat /src", |spec| spec.mounts = bind("file", true));
    assert_eq!(text, "new\n");
    let text = machine.output("echo new > /src; cat /src", |spec| {
        let source = source.join("file");
        spec.mounts = vec![mount(
            "/src",
            RunMountKind::Bind { source, subpath: String::new(), writable: true },
        )];
    });
    assert_eq!(text, "new\n");
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "old");
    assert!(!source.join("more").exists());
}

#[test]
fn the_source_of_a_bind_stays_inside() {
    let Some(machine) = Machine::new() else { return };
    let source = machine.path("source");
    fs::create_dir_all(source.join("etc")).unwrap();
    fs::write(source.join("etc/passwd"), "inner").unwrap();
    symlink("/etc/passwd", source.join("absolute")).unwrap();
    symlink("../../../../etc/passwd", source.join("up")).unwrap();
    for subpath in ["absolute", "up", "../../etc/passwd", "/etc/passwd"] {
        let text = machine.output("cat /x", |spec| {
            let (source, subpath) = (source.clone(), subpath.to_string());
            spec.mounts =
                vec![mount("/x", RunMountKind::Bind { source, subpath, writable: false })];
        });
        assert_eq!(text, "inner", "{subpath}");
    }
    let outcome = machine.sh("true", |spec| {
        let (source, subpath) = (source.clone(), "missing".to_string());
        spec.mounts = vec![mount("/x", RunMountKind::Bind { source, subpath, writable: false })];
    });
    assert_eq!(
        outcome.error(),
        "failed to open the source \"missing\" of a mount: no such file or directory"
    );
}

#[test]
fn a_tree_is_the_merge_of_its_layers() {
    let Some(machine) = Machine::new() else { return };
    let (low, high) = (machine.path("low"), machine.path("high"));
    for (directory, name) in [(&low, "a"), (&high, "b")] {
        fs::create_dir_all(directory.join("d")).unwrap();
        fs::write(directory.join("d").join(name), name).unwrap();
    }
    fs::write(low.join("d/gone"), "").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        high.join("d/gone"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .unwrap();
    let tree = |lowers: &[&PathBuf], writable| RunMountKind::Tree {
        lowers: lowers.iter().map(|path| path.to_path_buf()).collect(),
        subpath: "/d".into(),
        writable,
    };
    for writable in [false, true] {
        let outcome =
            machine.sh("ls /x; (touch /x/new) 2>/dev/null && echo wrote || true", |spec| {
                spec.mounts = vec![mount("/x", tree(&[&low, &high], writable))];
            });
        assert_eq!(outcome.ok(), if writable { "a\nb\nwrote\n" } else { "a\nb\n" });
    }
    // A single layer is no different from many.
    let text = machine.output("ls /x", |spec| {
        spec.mounts = vec![mount("/x", tree(&[&low], false))];
    });
    assert_eq!(text, "a\ngone\n");
}

#[test]
fn a_cache_keeps_what_is_written() {
    let Some(machine) = Machine::new() else { return };
    let directory = machine.path("cache");
    fs::create_dir(&directory).unwrap();
    let cache = |readonly| vec![mount("/root/.cache", cache(&directory, readonly))];
    machine.output("echo kept > /root/.cache/file", |spec| spec.mounts = cache(false));
    let outcome =
        machine.sh("cat /root/.cache/file; touch /root/.cache/file 2>&1 || true", |spec| {
            spec.mounts = cache(true);
        });
    assert!(outcome.ok().starts_with("kept\ntouch:"));
    assert_eq!(fs::read_to_string(directory.join("file")).unwrap(), "kept\n");
}

#[test]
fn a_tmpfs_has_its_size() {
    let Some(machine) = Machine::new() else { return };
    let outcome = machine.sh(
        "stat -c %a /x; dd if=/dev/zero of=/x/big bs=1k count=2048 2>/dev/null || echo full",
        |spec| spec.mounts = vec![mount("/x", RunMountKind::Tmpfs { size: Some(1 << 20) })],
    );
    assert_eq!(outcome.ok(), "1777\nfull\n");
}

#[test]
fn a_secret_is_readable_for_its_owner_and_leaves_no_trace() {
    let Some(machine) = Machine::new() else { return };
    let secret = vec![mount(
        "/run/secrets/token",
        RunMountKind::Secret {
            content: Secret(b"canary-5312".to_vec()),
            mode: 0o440,
            uid: 7,
            gid: 8,
        },
    )];
    let outcome = machine.sh(
        "stat -c '%a %u %g' /run/secrets/token; cat /run/secrets/token; \
         (echo x > /run/secrets/token) 2>/dev/null || true; cat /proc/1/cmdline /proc/1/environ",
        |spec| spec.mounts = secret.clone(),
    );
    assert_eq!(outcome.stdout.matches("canary-5312").count(), 1, "{}", outcome.stdout);
    assert!(outcome.stdout.starts_with("440 7 8\ncanary-5312"), "{}", outcome.stdout);
    assert_eq!(outcome.upper(), Vec::<String>::new());
    let grep = std::process::Command::new("grep")
        .args(["-rl", "canary-5312"])
        .arg(machine.directory.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");

    let outcome = machine.sh("cat /run/secrets/token", |spec| {
        spec.mounts = secret;
        spec.user.uid = 99;
    });
    assert_eq!(outcome.code(), 1);
}

#[test]
fn an_agent_answers_through_its_socket() {
    let Some(machine) = Machine::new() else { return };
    let socket = machine.path("agent");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello from the agent").unwrap();
    });
    // This program is static, so it can be its own client inside the step.
    let client = ["/client", "--exact", "inside_a_step_ask_the_agent", "--ignored", "--nocapture"];
    let mounts = || {
        let (source, subpath) = (std::env::current_exe().unwrap(), String::new());
        let ssh = RunMountKind::Ssh { socket: socket.clone(), mode: 0o600, uid: 7, gid: 8 };
        let client = RunMountKind::Bind { source, subpath, writable: false };
        vec![mount("/client", client), mount("/agent.sock", ssh)]
    };
    let outcome = machine.run(&client, |spec| {
        spec.mounts = mounts();
        (spec.user.uid, spec.user.gid) = (7, 8);
    });
    let text = outcome.ok();
    server.join().unwrap();
    assert!(text.contains("hello from the agent"), "{text}");
    let other = machine.run(&client, |spec| {
        spec.mounts = mounts();
        (spec.user.uid, spec.user.gid) = (9, 8);
    });
    assert_ne!(other.code(), 0);
    assert!(other.stderr.contains("PermissionDenied"), "{}{}", other.stdout, other.stderr);
}

#[test]
#[ignore = "the other half of a test, which runs it inside a step"]
fn inside_a_step_ask_the_agent() {
    let mut stream = std::os::unix::net::UnixStream::connect("/agent.sock").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    println!("{text}");
}

#[test]
fn a_mount_that_is_impossible_is_named() {
    let Some(machine) = Machine::new() else { return };
    let tmpfs = || RunMountKind::Tmpfs { size: None };
    let readonly = || RunMountKind::Bind {
        source: machine.base.join("etc"),
        subpath: String::new(),
        writable: false,
    };
    for (mounts, error) in [
        (vec![mount("/", tmpfs())], "failed to make the mount point /: device or resource busy"),
        (
            vec![mount("/bin/sh", tmpfs())],
            "failed to make the mount point /bin/sh: not a directory",
        ),
        (
            vec![mount("/x", readonly()), mount("/x/y", tmpfs())],
            "failed to make the mount point /x/y: read-only file system",
        ),
    ] {
        let outcome = machine.sh("true", |spec| spec.mounts = mounts);
        assert_eq!(outcome.error(), error);
    }
}

#[test]
fn mounts_may_be_inside_each_other() {
    let Some(machine) = Machine::new() else { return };
    let outcome = machine.sh("ls /x /x/y/z; cat /x/secret; touch /x/y/z/f", |spec| {
        let source = machine.base.join("etc");
        spec.mounts = vec![
            mount("/x", RunMountKind::Tmpfs { size: None }),
            mount("/x/y", RunMountKind::Bind { source, subpath: String::new(), writable: true }),
            mount("/x/y/z", RunMountKind::Tmpfs { size: None }),
            mount(
                "/x/secret",
                RunMountKind::Secret {
                    content: Secret(b"s".to_vec()),
                    mode: 0o400,
                    uid: 0,
                    gid: 0,
                },
            ),
        ];
    });
    assert_eq!(outcome.upper(), Vec::<String>::new());
    assert_eq!(outcome.ok(), "/x:\nsecret\ny\n\n/x/y/z:\ns");
    assert!(!machine.base.join("etc/z").exists());
}

// ---- overlays

#[test]
fn a_root_without_any_layer() {
    let Some(machine) = Machine::new() else { return };
    for sandbox in [machine.sandbox.clone(), machine.sandbox.clone().with_classic_overlay()] {
        let (mut spec, dirs) = machine.spec(&["/b/busybox", "touch", "/made"]);
        spec.lowers.clear();
        let (source, subpath) = (machine.base.clone(), "bin".to_string());
        spec.mounts = vec![mount("/b", RunMountKind::Bind { source, subpath, writable: false })];
        let exit = run(&sandbox, &spec, &Cancel::new().unwrap(), &mut |_, _| {}).unwrap();
        assert!(exit.success());
        let names: Vec<_> =
            fs::read_dir(&dirs.upper).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["made"]);
    }
}

#[test]
fn many_layers_and_long_paths() {
    let Some(machine) = Machine::new() else { return };
    let mut long = machine.path("layers");
    for _ in 0..4 {
        long.push("a,b:c=d\\ ".repeat(20));
    }
    let mut lowers = vec![machine.base.clone()];
    for number in 0..126 {
        let layer = long.join(number.to_string());
        fs::create_dir_all(layer.join("layers")).unwrap();
        fs::write(layer.join("layers").join(number.to_string()), "").unwrap();
        lowers.push(layer);
    }
    // The same directory again, as when two steps left the same layer.
    lowers.push(lowers[5].clone());
    for sandbox in [machine.sandbox.clone(), machine.sandbox.clone().with_classic_overlay()] {
        let (mut spec, dirs) = machine.spec(&["/bin/sh", "-c", "ls /layers | wc -l; touch /x"]);
        spec.lowers.clone_from(&lowers);
        spec.mounts = vec![mount(
            "/tree",
            RunMountKind::Tree { lowers: lowers.clone(), subpath: "".into(), writable: true },
        )];
        let mut text = Vec::new();
        let cancel = Cancel::new().unwrap();
        let exit = run(&sandbox, &spec, &cancel, &mut |_, bytes| text.extend_from_slice(bytes));
        assert!(exit.unwrap().success());
        assert_eq!(text, b"126\n");
        assert!(dirs.upper.join("x").exists());
    }
}

#[test]
fn the_upper_directory_is_a_layer_for_the_next_step_at_once() {
    let Some(machine) = Machine::new() else { return };
    let mut lowers = vec![machine.base.clone()];
    for number in 0..10 {
        let (mut spec, dirs) =
            machine.spec(&["/bin/sh", "-c", "echo $(ls /n) > /log; mkdir -p /n/$N"]);
        spec.lowers.clone_from(&lowers);
        spec.env.push(("N".into(), number.to_string()));
        let cancel = Cancel::new().unwrap();
        assert!(run(&machine.sandbox, &spec, &cancel, &mut |_, _| {}).unwrap().success());
        dirs.remove_scratch().unwrap();
        lowers.push(dirs.upper);
    }
    let text = machine.output("cat /log", |spec| spec.lowers = lowers);
    assert_eq!(text, "0 1 2 3 4 5 6 7 8\n");
}

#[test]
fn steps_run_beside_each_other() {
    let Some(machine) = Machine::new() else { return };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let machine = &machine;
            scope.spawn(move || {
                let text =
                    machine.output(&format!("sleep 0.05; echo {number}; touch /{number}"), |_| {});
                assert_eq!(text, format!("{number}\n"));
            });
        }
    });
}

#[test]
fn nothing_of_a_step_is_mounted_on_the_host() {
    let Some(machine) = Machine::new() else { return };
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    machine.output("true", |spec| {
        spec.mounts = vec![mount("/x", RunMountKind::Tmpfs { size: None })];
    });
    let path = machine.directory.path().to_str().unwrap();
    let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!before.contains(path) && !after.contains(path));
}

#[test]
fn a_layer_that_is_missing_is_named() {
    let Some(machine) = Machine::new() else { return };
    let outcome = machine.sh("true", |spec| spec.lowers.push("/no/such/layer".into()));
    assert_eq!(outcome.error(), "failed to open /no/such/layer: no such file or directory");
}

/// Where the hierarchies of control groups are mounted, the one that counts processes first.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut found: Vec<PathBuf> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let [_, place, "cgroup" | "cgroup2", ..] = fields[..] {
            found.push(place.into());
        }
    }
    found.sort_by_key(|root| !root.ends_with("pids"));
    found
}

#[test]
fn a_step_is_in_a_group_of_its_own_below_the_parent() {
    let Some(machine) = Machine::new() else { return };
    let roots = hierarchies();
    let name = format!("plimsoll-test-{}", std::process::id());
    let parent = match CgroupParent::open(&format!("/{name}/ci")) {
        Ok(parent) => parent,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let group = Arc::new(parent.step().unwrap());
    let (mut spec, _dirs) = machine.spec(&["/bin/sh", "-c", "echo here; cat /proc/self/cgroup"]);
    spec.cgroup = Some(Arc::clone(&group));
    let own = format!("{name}/ci/plimsoll-{}-0", std::process::id());
    let mut counted = Vec::new();
    let mut said = Vec::new();
    let exit = run(&machine.sandbox, &spec, &Cancel::new().unwrap(), &mut |_, bytes| {
        said.extend_from_slice(bytes);
        let procs = |root: &PathBuf| fs::read_to_string(root.join(&own).join("cgroup.procs"));
        counted.push(roots.iter().map(|root| procs(root).unwrap().lines().count()).min());
    });
    assert!(exit.unwrap().success(), "{}", String::from_utf8_lossy(&said));
    assert_eq!(group.refused(), None);
    assert!(counted[0] >= Some(1), "{counted:?}");
    // What is above its own group is none of its business.
    assert!(!String::from_utf8_lossy(&said).contains(&name), "{}", String::from_utf8_lossy(&said));
    drop((spec, group, parent));
    let left: Vec<&PathBuf> = roots.iter().filter(|root| root.join(&name).exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn limits_of_the_parent_hold_and_a_canceled_step_leaves_no_group() {
    let Some(machine) = Machine::new() else { return };
    let name = format!("plimsoll-limit-{}", std::process::id());
    let Some(root) = hierarchies().into_iter().next() else {
        return eprintln!("SKIPPED: no control groups are mounted");
    };
    let limited = root.join(&name);
    if let Err(error) = fs::create_dir(&limited) {
        return eprintln!("SKIPPED: {}: {error}", limited.display());
    }
    // Counting is off by default in version 2, where the user's own parent has it.
    let is_limited = fs::write(limited.join("pids.max"), "4").is_ok();
    let parent = CgroupParent::open(&name).unwrap();
    if is_limited {
        let group = Some(Arc::new(parent.step().unwrap()));
        let script = "for i in 1 2 3 4 5 6; do sleep 5 & done; wait";
        let outcome = machine.run(&["/bin/sh", "-c", script], |spec| spec.cgroup = group);
        assert!(outcome.stderr.contains("fork"), "{}", outcome.stderr);
        assert_ne!(outcome.code(), 0);
    } else {
        eprintln!("SKIPPED: {} does not count processes", root.display());
    }
    let cancel = Cancel::new().unwrap();
    let group = Some(Arc::new(parent.step().unwrap()));
    let canceled = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            cancel.cancel();
        });
        machine.run_until(&["/bin/sleep", "60"], &cancel, |spec| spec.cgroup = group)
    });
    assert!(matches!(canceled.result, Err(RunError::Canceled)), "{:?}", canceled.result);
    let left: Vec<_> = fs::read_dir(&limited).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_type().unwrap().is_file()), "{left:?}");
    drop(parent);
    fs::remove_dir(&limited).unwrap();
    assert!(hierarchies().iter().all(|root| !root.join(&name).exists()));
}
