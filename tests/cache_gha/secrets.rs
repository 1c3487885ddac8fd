//! No token, signature or secret is where it does not belong.

use super::*;

#[test]
fn a_run_sees_neither_token_nor_service() {
    // The first process of its namespace may not show them either.
    let text = "\
FROM base
RUN ! /bin/busybox env | /bin/busybox grep -e ACTIONS -e GITHUB -e canary
RUN cat /proc/self/environ > /dev/null
RUN ! cat /proc/[0-9]*/environ | /bin/busybox grep -a -e ACTIONS -e GITHUB -e canary
RUN HERE=canary /bin/busybox env | /bin/busybox grep -q canary
";
    let Some(project) = Project::new(text) else { return };
    let service = service();
    assert_eq!(Job::on_main(&service).build(&project, &[]).ran().len(), 4);
}

const SECRET_CANARY: &str = "secret-canary-1fGq8";

/// A file, what it says unpacked, and what is in base64 in that.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let mut forms = vec![bytes.to_vec()];
    let mut plain = Vec::new();
    if let Ok(mut reader) = plimsoll::layer::decompress(bytes)
        && std::io::Read::read_to_end(&mut reader, &mut plain).is_ok()
        && plain != bytes
    {
        forms.push(plain);
    }
    let texts = forms.clone();
    for text in texts.iter().map(|text| String::from_utf8_lossy(text)) {
        for part in text.split('"') {
            let decoded = base64::engine::general_purpose::STANDARD.decode(part);
            forms.extend(decoded.into_iter().filter(|d| d.len() > 8 && *d != bytes).flat_map(
                |decoded| {
                    let mut plain = Vec::new();
                    if let Ok(mut reader) = plimsoll::layer::decompress(&decoded[..]) {
                        let _ = std::io::Read::read_to_end(&mut reader, &mut plain);
                    }
                    [decoded, plain]
                },
            ));
        }
    }
    forms
}

fn has(bytes: &[u8], canary: &str) -> bool {
    let canary = canary.as_bytes();
    forms(bytes).iter().any(|form| form.windows(canary.len()).any(|part| part == canary))
}

#[test]
fn a_canary_is_found_wherever_it_hides() {
    let text = format!("a {SECRET_CANARY} b");
    let packed = zstd::encode_all(text.as_bytes(), 3).unwrap();
    use base64::Engine as _;
    let inside = base64::engine::general_purpose::STANDARD.encode(&packed);
    let bundle = zstd::encode_all(format!("{{\"b\":\"{inside}\"}}").as_bytes(), 3).unwrap();
    for hiding in [text.as_bytes(), &packed, &bundle] {
        assert!(has(hiding, SECRET_CANARY));
        assert!(!has(hiding, "another-canary"));
    }
}

/// A secret that a RUN reads, the job's token and the password of the registry: none of them is in
/// anything that was sent, but where it belongs, in anything that is kept, or in the log.
#[test]
fn no_secret_leaves_the_runner() {
    let text = "\
FROM base AS builder
RUN --mount=type=secret,id=token --mount=type=cache,target=/cache sleep 2; \
    cat /run/secrets/token > /dev/null; echo built > /cache/state
RUN --mount=type=secret,id=token,env=TOKEN sleep 1; echo $TOKEN > /dev/null; \
    dd if=/bin/busybox bs=1000 count=900 > /large

FROM base
COPY --from=builder /large /
";
    let Some(project) = Project::new(text) else { return };
    let (service, registry) = (service(), FakeRegistry::start(fake_registry::Options::default()));
    let secret = project.path("token");
    std::fs::write(&secret, SECRET_CANARY).unwrap();
    let job = Job::on_main(&service);
    let name = format!("{}/team/app", registry.host());
    let machine = project.machine();
    let secret = format!("--secret=id=token,src={}", secret.display());
    let cache = format!("type=registry,ref={name}:cache");
    let built = job.build_on(
        &machine,
        &[
            &secret,
            "--push",
            "-t",
            &name,
            "--cache-from=type=gha",
            "--cache-to=type=gha",
            &format!("--cache-from={cache}"),
            &format!("--cache-to={cache}"),
        ],
    );
    assert_eq!((built.ran().len(), &built.notices[..]), (3, &[][..]));
    assert!(!built.log.contains(SECRET_CANARY), "{}", built.log);

    let (sent, pushed) = (service.received(), registry.received());
    assert!(sent.len() > 5 && pushed.len() > 5, "{} and {}", sent.len(), pushed.len());
    for canary in [SECRET_CANARY, TOKEN_CANARY] {
        for (what, bytes) in sent.iter().chain(&pushed) {
            assert!(!has(bytes, canary), "{canary} is in {what}");
        }
    }
    let mut folders = vec![machine.store().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                for canary in [SECRET_CANARY, TOKEN_CANARY] {
                    assert!(!has(&bytes, canary), "{canary} is in {}", path.display());
                }
            }
        }
    }
}
