//! A step of an ordinary user: the program starts itself again by sudo, which is Debian's or a stand-in
//! that tells what it was given. And a step of a root without the rights of one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::runner::{Ended, Runner, TOKEN};

/// `nobody`
const USER: u32 = 65_534;

/// A runner whose files are an ordinary user's. `None`, loudly, where there is no becoming one.
fn ordinary() -> Option<Runner> {
    let tools = ["/usr/bin/setpriv", "/usr/bin/busybox"];
    if !rustix::process::getuid().is_root() || !tools.iter().all(|tool| Path::new(tool).exists()) {
        eprintln!("SKIPPED: needs root, setpriv and busybox (util-linux, busybox-static)");
        return None;
    }
    let mut runner = Runner::new();
    fs::create_dir_all(runner.path("home")).unwrap();
    fs::create_dir(runner.path("bin")).unwrap();
    // An ordinary user can't look where the program stands.
    fs::copy(env!("CARGO_BIN_EXE_plimsoll"), runner.path("bin/plimsoll")).unwrap();
    fs::copy("/usr/bin/busybox", runner.path("workspace/busybox")).unwrap();
    runner.write(
        "Dockerfile",
        "FROM scratch\nCOPY busybox /bin/sh\nENV PATH=/bin\nRUN echo made > /file\n",
    );
    let path = format!("{}:/usr/bin:/bin", runner.path("bin").display());
    runner.set("PATH", &path);
    Some(runner)
}

/// A rule of sudo's for as long as this lives.
struct Rule(PathBuf);

impl Drop for Rule {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// Lets the user become root by sudo without a password: with this test's copy of the program, and
/// nothing else. `None`, loudly, where there is no sudo.
fn allow_sudo(runner: &Runner) -> Option<Rule> {
    if !Path::new("/usr/bin/sudo").exists() {
        eprintln!("SKIPPED: needs sudo");
        return None;
    }
    let program = runner.path("bin/plimsoll");
    // sudo passes over names with a dot.
    let unique = runner.path("").file_name().unwrap().to_str().unwrap().replace('.', "");
    let rule = Rule(Path::new("/etc/sudoers.d").join(format!("plimsoll-test-{unique}")));
    let text = format!("nobody ALL=(root) NOPASSWD: {}\n", program.display());
    fs::write(&rule.0, text).unwrap();
    fs::set_permissions(&rule.0, fs::Permissions::from_mode(0o440)).unwrap();
    Some(rule)
}

/// Writes what sudo was given, and runs the command as root.
fn sudo(runner: &Runner) {
    let bin = runner.path("bin");
    // A copy that makes itself root, as sudo does.
    let become_root = bin.join("become-root");
    fs::copy("/usr/bin/setpriv", &become_root).unwrap();
    let log = runner.path("sudo.log");
    let script = format!(
        "#!/bin/sh\n{{ echo \"$@\"; cat /proc/$$/environ; echo; }} >> {}\n\
         while [ \"${{1#-}}\" != \"$1\" ]; do shift; done\n\
         exec {} --reuid 0 --regid 0 --clear-groups env -i PATH=/usr/bin:/bin \"$@\"\n",
        log.display(),
        become_root.display()
    );
    program(&bin.join("sudo"), &script);
    fs::write(&log, "").unwrap();
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn command(runner: &Runner) -> Command {
    let made = runner.command(&["action"]);
    let mut command = Command::new(runner.path("bin/plimsoll"));
    command.arg("action").current_dir(runner.path("workspace")).env_clear();
    command.envs(made.get_envs().filter_map(|(name, value)| Some((name, value?))));
    give(&runner.path(""), USER);
    let become_root = runner.path("bin/become-root");
    if become_root.exists() {
        chown(&become_root, Some(0), Some(0)).unwrap();
        fs::set_permissions(&become_root, fs::Permissions::from_mode(0o4755)).unwrap();
    }
    command.uid(USER).gid(USER);
    command
}

fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

fn run(runner: &Runner) -> Ended {
    let output = command(runner).output().unwrap();
    runner.ended(&output)
}

#[test]
fn the_step_becomes_root_and_no_secret_is_on_the_way() {
    let Some(mut runner) = ordinary() else { return };
    sudo(&runner);
    runner.input("secrets", "key=hunter2");
    runner.input("outputs", "type=local,dest=out");
    let ended = run(&runner);
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(ended.output("digest").starts_with("sha256:"));
    let said = fs::read_to_string(runner.path("sudo.log")).unwrap();
    assert!(said.contains("plimsoll action --handed-over"), "{said}");
    for secret in ["hunter2", TOKEN, "INPUT_", "GITHUB_"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    // What the user gets is the user's.
    for path in [runner.path("workspace/out/file"), ended.output("size-report").into()] {
        assert_eq!(fs::metadata(&path).unwrap().uid(), USER, "{}", path.display());
    }
}

#[test]
fn the_step_becomes_root_by_sudo_itself() {
    let Some(mut runner) = ordinary() else { return };
    let Some(_rule) = allow_sudo(&runner) else { return };
    runner.write(
        "Dockerfile",
        "FROM scratch\nCOPY busybox /bin/sh\nENV PATH=/bin\n\
         RUN --mount=type=secret,id=key read -r key < /run/secrets/key; [ \"$key\" = hunter2 ] && echo made > /file\n",
    );
    runner.input("secrets", "key=hunter2");
    runner.input("outputs", "type=local,dest=out");
    let ended = run(&runner);
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(fs::read_to_string(runner.path("workspace/out/file")).unwrap(), "made\n");
    assert_eq!(ended.commands("::add-mask::hunter2").len(), 1);
    assert_eq!(fs::metadata(runner.path("workspace/out/file")).unwrap().uid(), USER);
    // What fails there is told by the same code here.
    runner.write("Dockerfile", "FROM scratch\nCOPY busybox /bin/sh\nENV PATH=/bin\nRUN exit 7\n");
    let ended = run(&runner);
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert_eq!(ended.commands("::error file=Dockerfile,line=4").len(), 1, "{}", ended.log);
}

#[test]
fn without_sudo_the_line_to_add_is_told() {
    let Some(mut runner) = ordinary() else { return };
    let bin = runner.path("bin");
    runner.set("PATH", bin.to_str().unwrap());
    let ended = run(&runner);
    assert_eq!(ended.code, 2, "{}", ended.log);
    for expected in [
        "sudo says: there is no sudo",
        "/etc/sudoers.d/plimsoll: nobody ALL=(root) NOPASSWD: ALL",
        "options: --user root --privileged",
    ] {
        assert!(ended.log.contains(expected), "{expected}: {}", ended.log);
    }
    program(
        &runner.path("bin/sudo"),
        "#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n",
    );
    let ended = run(&runner);
    assert!(ended.log.contains("sudo says: sudo: a password is required"), "{}", ended.log);
}

#[test]
fn a_build_without_steps_needs_no_root() {
    let Some(runner) = ordinary() else { return };
    runner.write("Dockerfile", "FROM scratch\nCOPY data /\n");
    let ended = run(&runner);
    assert_eq!(ended.code, 0, "{}", ended.log);
}

#[test]
fn a_signal_reaches_the_program_behind_sudo() {
    let Some(runner) = ordinary() else { return };
    sudo(&runner);
    ends_by_signals(&runner);
}

#[test]
fn a_signal_reaches_the_program_behind_sudo_itself() {
    let Some(runner) = ordinary() else { return };
    let Some(_rule) = allow_sudo(&runner) else { return };
    ends_by_signals(&runner);
}

/// A step that would take forever ends with the signal's code; and it ends with the first process,
/// which can't tell it anything when it is killed.
fn ends_by_signals(runner: &Runner) {
    runner.write(
        "Dockerfile",
        "FROM scratch\nCOPY busybox /bin/sh\nENV PATH=/bin\nRUN while :; do :; done\n",
    );
    let running =
        || fs::read_dir(runner.path("store/tmp")).is_ok_and(|mut dir| dir.next().is_some());
    let signaled = |signal| {
        let child = command(runner).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Every build has a folder of its own there while it lives.
        while !running() {
            std::thread::sleep(Duration::from_millis(20));
        }
        rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
        // Whoever has the other end of its pipes has ended too.
        child.wait_with_output().unwrap()
    };
    let ended = runner.ended(&signaled(Signal::INT));
    assert_eq!(ended.code, 130, "{}", ended.log);
    let killed = signaled(Signal::KILL);
    assert!(!running(), "{}", String::from_utf8_lossy(&killed.stderr));
}

/// A job in a container is root there, with what a container engine leaves of that.
#[test]
fn a_root_without_rights_is_told_the_line_for_its_container() {
    let Some(runner) = ordinary() else { return };
    let made = runner.command(&["action"]);
    let mut command = Command::new("/usr/bin/setpriv");
    let capabilities = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
                        +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";
    command.args(["--bounding-set", capabilities]).arg(made.get_program()).args(made.get_args());
    command.current_dir(runner.path("workspace")).env_clear();
    command.envs(made.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = runner.ended(&command.output().unwrap());
    assert_eq!(ended.code, 2, "{}", ended.log);
    for expected in ["RUN is impossible here", "container:", "options: --privileged"] {
        assert!(ended.log.contains(expected), "{expected}: {}", ended.log);
    }
}
