//! Keys of AWS's: exchanged for a password of a registry.

use jiff::Timestamp;

use crate::cli::action::job::Job;
use crate::cli::action::{mask_all, secret};
use crate::error::Error;
use crate::github::event::Variables;
use crate::http::Clients;
use crate::registry::{AwsKeys, Ecr};
use crate::request::{Credential, RegistryOptions, Secret};

use super::{DOCKER_HUB, Scope};

/// Keys of AWS's for some of Amazon's registries.
#[derive(Debug)]
pub struct AwsLogin {
    /// Registries of several accounts, where they share what the keys may do.
    pub(super) hosts: Vec<String>,
    pub(super) scope: Scope,
    pub(super) ecr: Ecr,
    /// In place of AWS's own address.
    pub(super) endpoint: Option<String>,
    pub(super) keys: Option<AwsKeys>,
    /// The inputs ask for it; else there happen to be keys.
    pub(super) named: bool,
}

impl AwsLogin {
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let keys = self.keys.iter();
        keys.flat_map(|keys| std::iter::once(&keys.secret).chain(&keys.session_token))
    }

    /// Exchanges the keys for a password, and puts that into the options.
    ///
    /// # Errors
    /// The inputs ask for it, and there are no keys or AWS refuses them.
    pub fn exchange(&self, job: &Job<'_>, options: &mut RegistryOptions) -> Result<(), Error> {
        let host = &self.hosts[0];
        let known = options.credentials.contains_key(host)
            || options.credential_helpers.contains_key(host)
            || options.credential_store.is_some();
        let Some(keys) = &self.keys else {
            if known || !self.named {
                return Ok(());
            }
            let text = format!("there are no AWS credentials for {host}");
            if job.event.is_from_fork() {
                job.notice(text);
                return Ok(());
            }
            return Err(Error::usage(text).hinted(
                "Put aws-actions/configure-aws-credentials into a step before this one, which takes \
                 roles too; or name a key with the inputs `username` (its id) and `password` (its \
                 secret).",
            ));
        };
        if known && !self.named {
            return Ok(());
        }
        match self.password(keys, job.environment.now, options) {
            Ok(credential) => {
                mask_all(job, std::iter::once(secret(&credential)));
                let places = self.hosts.iter().map(|host| self.scope.place(host));
                let all = places.map(|place| (place, credential.clone()));
                let RegistryOptions { credentials, push_credentials, .. } = options;
                self.scope.of(credentials, push_credentials).extend(all);
                Ok(())
            }
            Err(error) if self.named => Err(error),
            Err(error) => {
                job.notice(format!("{host} is asked without credentials: {}", error.message));
                Ok(())
            }
        }
    }

    /// `now` in seconds since 1970.
    fn password(
        &self,
        keys: &AwsKeys,
        now: i64,
        options: &RegistryOptions,
    ) -> Result<Credential, Error> {
        let at = Timestamp::from_second(now).unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::build(format!("can't start the network thread: {error}")))?;
        let clients = Clients::new(options.ca_certificates.clone());
        let password = self.ecr.password(keys, self.endpoint.as_deref(), at, &clients);
        runtime.block_on(password).map_err(Error::from)
    }
}

/// The part of AWS that `host` is in: by its name, else the region of the environment.
pub(super) fn ecr(host: &str, variables: &Variables) -> Result<Ecr, Error> {
    let region = || variable(variables, "AWS_REGION").or(variable(variables, "AWS_DEFAULT_REGION"));
    let named = || Some(Ecr::Private { region: region()?.to_owned() });
    if host == DOCKER_HUB {
        return Err(Error::usage("input ecr: no registry of Amazon's is named")
            .hinted("Name it with the input `registry`."));
    }
    Ecr::of_host(host).or_else(named).ok_or_else(|| {
        Error::usage(format!("input ecr: {host} does not say in which region it is"))
            .hinted("Set the variable AWS_REGION.")
    })
}

/// `host`, and the same for each account in `AWS_ACCOUNT_IDS`.
pub(super) fn hosts(host: &str, variables: &Variables) -> Vec<String> {
    let mut hosts = vec![host.to_owned()];
    if let (Some(Ecr::Private { .. }), Some((_, rest))) = (Ecr::of_host(host), host.split_once('.'))
    {
        let accounts = variable(variables, "AWS_ACCOUNT_IDS").unwrap_or_default();
        let accounts = accounts.split(',').map(str::trim).filter(|account| !account.is_empty());
        hosts.extend(accounts.map(|account| format!("{account}.{rest}")));
    }
    hosts
}

fn variable<'v>(variables: &'v Variables, name: &str) -> Option<&'v str> {
    variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

pub(super) fn keys(id: &str, secret: &str, session_token: Option<&str>) -> AwsKeys {
    AwsKeys {
        id: id.to_owned(),
        secret: Secret(secret.into()),
        session_token: session_token.map(|token| Secret(token.into())),
    }
}

/// The keys that aws-actions/configure-aws-credentials and others leave.
pub(super) fn keys_of(variables: &Variables) -> Option<AwsKeys> {
    let variable = |name| variable(variables, name);
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    Some(keys(id, secret, variable("AWS_SESSION_TOKEN")))
}

/// Where AWS's own variables put the API.
pub(super) fn endpoint(ecr: &Ecr, variables: &Variables) -> Option<String> {
    let own = match ecr {
        Ecr::Private { .. } => "AWS_ENDPOINT_URL_ECR",
        Ecr::Public => "AWS_ENDPOINT_URL_ECR_PUBLIC",
    };
    variable(variables, own).or(variable(variables, "AWS_ENDPOINT_URL")).map(str::to_owned)
}
