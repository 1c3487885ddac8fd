//! Amazon's registries: keys of AWS's are exchanged for a password.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fake_registry::{Auth, FakeRegistry, Options};
use super::runner::{Ended, Runner};

const ID: &str = "AKIDBOAT";
const SECRET: &str = "aws-secret-canary";
const SESSION: &str = "aws-session-canary";
/// What AWS gives for them.
const PASSWORD: &str = "ecr-password-canary";

/// AWS's API: whoever has the key `ID` gets a password. It listens on a free port of the loopback
/// interface until it is dropped. Whether a signature is right is for the tests beside its code, which
/// have AWS's own.
struct FakeAws {
    address: SocketAddr,
    /// The headers of each request.
    asked: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAws {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let stopped = Arc::<AtomicBool>::default();
        let (log, stop) = (Arc::clone(&asked), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                log.lock().unwrap().push(answer(stream.unwrap()));
            }
        });
        Self { address, asked, stopped, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The only request there was.
    fn asked(&self) -> BTreeMap<String, String> {
        let asked = self.asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        asked[0].clone()
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream) -> BTreeMap<String, String> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let lines = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(body, b"{}");
    let data = format!(
        r#"{{"authorizationToken":"{}","expiresAt":1.8E9}}"#,
        STANDARD.encode(format!("AWS:{PASSWORD}"))
    );
    let known = headers["authorization"].contains(&format!("Credential={ID}/"));
    let (status, body) = match (known, headers["x-amz-target"].as_str()) {
        (false, _) => {
            let text =
                r#"{"__type":"UnrecognizedClientException","message":"The token is invalid."}"#;
            ("400 Bad Request", text.to_owned())
        }
        (true, "SpencerFrontendService.GetAuthorizationToken") => {
            ("200 OK", format!(r#"{{"authorizationData":{data}}}"#))
        }
        (true, _) => ("200 OK", format!(r#"{{"authorizationData":[{data}]}}"#)),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    headers
}

/// None of the secrets is shown but to be masked.
fn keeps_secrets(ended: &Ended) {
    let shown = ended.log.lines().filter(|line| !line.starts_with("::add-mask::"));
    for canary in [SECRET, SESSION, PASSWORD] {
        assert!(!shown.clone().any(|line| line.contains(canary)), "{}", ended.log);
    }
}

/// A registry that wants what AWS gives, and a step that knows where AWS is.
fn amazon() -> (FakeRegistry, FakeAws, Runner) {
    let auth = Auth::Basic { user: "AWS".to_owned(), password: PASSWORD.to_owned() };
    let registry = FakeRegistry::start(Options { auth, ..Options::default() });
    let aws = FakeAws::start();
    let mut runner = Runner::new();
    runner.input("images", &format!("{}/acme/boat", registry.host()));
    runner.input("push", "auto");
    // Its name does not say that it is Amazon's.
    runner.input("ecr", "true");
    runner.set("AWS_REGION", "eu-west-1");
    runner.set("AWS_ENDPOINT_URL_ECR", &aws.url());
    (registry, aws, runner)
}

#[test]
fn a_key_in_the_inputs_buys_the_password() {
    let (registry, aws, mut runner) = amazon();
    runner.input("username", ID);
    runner.input("password", SECRET);
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "true", "{}", ended.log);
    assert!(registry.manifest("acme/boat", "main").is_some());
    for secret in [SECRET, PASSWORD] {
        assert_eq!(ended.commands(&format!("::add-mask::{secret}")).len(), 1);
    }
    keeps_secrets(&ended);
    let asked = aws.asked();
    let date = &asked["x-amz-date"][..8];
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential={ID}/{date}/eu-west-1/ecr/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="
    );
    assert!(asked["authorization"].starts_with(&expected), "{asked:?}");
    assert_eq!(asked["host"], aws.address.to_string());
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    assert_eq!(asked["x-amz-target"], target);
}

#[test]
fn a_key_in_the_environment_does_too() {
    let (_registry, aws, mut runner) = amazon();
    runner.set("AWS_ACCESS_KEY_ID", ID);
    runner.set("AWS_SECRET_ACCESS_KEY", SECRET);
    runner.set("AWS_SESSION_TOKEN", SESSION);
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "true", "{}", ended.log);
    keeps_secrets(&ended);
    let asked = aws.asked();
    assert_eq!(asked["x-amz-security-token"], SESSION);
    assert!(asked["authorization"].contains("x-amz-date;x-amz-security-token;x-amz-target"));
}

#[test]
fn a_key_that_aws_refuses_is_an_error_that_says_why() {
    let (_registry, _aws, mut runner) = amazon();
    runner.input("username", "AKIDNOBODY");
    runner.input("password", SECRET);
    let ended = runner.run();
    assert_eq!(ended.code, 1, "{}", ended.log);
    let told = "400 Bad Request: UnrecognizedClientException: The token is invalid.";
    assert!(ended.log.contains(told), "{}", ended.log);
    assert!(ended.log.contains("ecr:GetAuthorizationToken"), "{}", ended.log);
    keeps_secrets(&ended);
}

#[test]
fn without_a_key_it_says_where_one_comes_from() {
    let (_registry, aws, mut runner) = amazon();
    let ended = runner.run();
    assert_eq!(ended.code, 2, "{}", ended.log);
    assert!(ended.log.contains("there are no AWS credentials for 127.0.0.1:"), "{}", ended.log);
    assert!(ended.log.contains("aws-actions/configure-aws-credentials"), "{}", ended.log);
    // A fork is given no secrets, and is no mistake.
    runner.pull_request("eve/boat", &[]);
    let ended = runner.built();
    let notices = ended.notices().join("\n");
    assert!(notices.contains("there are no AWS credentials for 127.0.0.1:"), "{notices}");
    assert!(aws.asked.lock().unwrap().is_empty());
}

#[test]
fn the_public_registry_is_known_by_its_name() {
    let (_registry, aws, mut runner) = amazon();
    runner.input("ecr", "auto");
    runner.input("push", "false");
    runner.input("registry", "public.ecr.aws");
    runner.input("username", ID);
    runner.input("password", SECRET);
    runner.set("AWS_ENDPOINT_URL_ECR_PUBLIC", &aws.url());
    let ended = runner.built();
    assert_eq!(ended.commands(&format!("::add-mask::{PASSWORD}")).len(), 1);
    let asked = aws.asked();
    assert_eq!(asked["x-amz-target"], "SpencerFrontendService.GetAuthorizationToken");
    assert!(asked["authorization"].contains("/us-east-1/ecr-public/aws4_request"), "{asked:?}");
}

#[test]
fn keys_that_nobody_named_fail_nothing() {
    let (_registry, aws, mut runner) = amazon();
    runner.input("ecr", "");
    runner.input("push", "false");
    runner.input("images", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/boat");
    runner.set("AWS_ACCESS_KEY_ID", "AKIDNOBODY");
    runner.set("AWS_SECRET_ACCESS_KEY", SECRET);
    let notices = runner.built().notices().join("\n");
    assert!(notices.contains("is asked without credentials: POST http://127.0.0.1:"), "{notices}");
    aws.asked();
}
