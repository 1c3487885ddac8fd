//! `RUN --mount` (L-106 to L-112): variables replaced, defaults filled in, targets made absolute.

use crate::dockerfile::expand::{ExpandError, Expanded};
use crate::dockerfile::mount::{
    CacheSharing, ExpandMountError, MountFlag, MountType, expand_mount, parse_mount,
};

use super::config::{Scope, State};
use super::{CopyFrom, Mount, MountKind, PlanErrorKind, Sharing, lint, path};

/// Where an ssh agent is found, with its number behind it, unless a mount says so (L-111).
const AGENT: &str = "/run/buildkit/ssh_agent.";

/// Turns one flag into a mount. `source` is what the graph found for its `from`; `agents` counts
/// the ssh mounts of the instruction so far.
pub(super) fn plan(
    value: &str,
    source: CopyFrom,
    agents: &mut usize,
    state: &State,
    scope: &Scope<'_>,
) -> Result<Mount, PlanErrorKind> {
    let flag = expand_mount(value, |text| {
        let Expanded { text, undefined } = scope.lexer.expand(text, &state.environment)?;
        lint::undefined(undefined, state, scope);
        Ok::<_, ExpandError>(text)
    })
    .map_err(|error| match error {
        ExpandMountError::Mount(error) => PlanErrorKind::Mount(error),
        ExpandMountError::Expand(error) => PlanErrorKind::Expand(error),
    })?;
    let absolute = |target: &str| match path::join(&state.directory(), target) {
        root if root == "/" => Err(PlanErrorKind::MountTarget(root)),
        target => Ok(Some(target)),
    };
    let written = flag.target.clone().unwrap_or_default();
    let owner = |mode: u32| {
        (flag.mode.unwrap_or(mode), flag.uid.unwrap_or_default(), flag.gid.unwrap_or_default())
    };
    Ok(match flag.kind {
        MountType::Bind => {
            let from = if flag.from.is_some() { source } else { CopyFrom::Context };
            let source = flag.source.unwrap_or_default();
            let kind = MountKind::Bind { from, source, writable: !flag.readonly };
            Mount { target: absolute(&written)?, kind }
        }
        MountType::Cache => {
            let target = absolute(&written)?;
            let (mode, uid, gid) = owner(0o755);
            let below = flag.source.clone().unwrap_or_default();
            let (seed, subpath) = match flag.from {
                Some(_) => (Some((source, below)), String::new()),
                None => (None, below),
            };
            let kind = MountKind::Cache {
                id: cache_id(&flag, &written, scope),
                seed,
                subpath,
                sharing: match flag.sharing {
                    None | Some(CacheSharing::Shared) => Sharing::Shared,
                    Some(CacheSharing::Private) => Sharing::Private,
                    Some(CacheSharing::Locked) => Sharing::Locked,
                },
                readonly: flag.readonly,
                mode,
                uid,
                gid,
            };
            Mount { target, kind }
        }
        MountType::Tmpfs => {
            let size = flag.size.filter(|size| *size > 0);
            Mount { target: absolute(&written)?, kind: MountKind::Tmpfs { size } }
        }
        MountType::Secret => {
            let (mode, uid, gid) = owner(0o400);
            let id = flag.source.or(flag.id).unwrap_or_else(|| path::base(&written).to_owned());
            let target = match (&flag.target, &flag.env) {
                (Some(target), _) => absolute(target)?,
                (None, Some(_)) => None,
                (None, None) => Some(format!("/run/secrets/{}", path::base(&id))),
            };
            let (env, required) = (flag.env, flag.required);
            Mount { target, kind: MountKind::Secret { id, env, required, mode, uid, gid } }
        }
        MountType::Ssh => {
            let (mode, uid, gid) = owner(0o600);
            let target = match &flag.target {
                Some(target) => absolute(target)?,
                None => Some(format!("{AGENT}{agents}")),
            };
            *agents += 1;
            let (id, required) = (flag.id.unwrap_or_else(|| "default".to_owned()), flag.required);
            Mount { target, kind: MountKind::Ssh { id, required, mode, uid, gid } }
        }
    })
}

/// The id, or else the target as written, within the namespace of `BUILDKIT_CACHE_MOUNT_NS` (L-108).
fn cache_id(flag: &MountFlag, target: &str, scope: &Scope<'_>) -> String {
    let id = match &flag.id {
        Some(id) => id.clone(),
        None if target.starts_with('/') => path::clean(target),
        // BuildKit cleans it as it is, without the working directory.
        None => path::clean(target).trim_start_matches('/').to_owned(),
    };
    match scope.request.build_args.get("BUILDKIT_CACHE_MOUNT_NS") {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}/{id}"),
        _ => id,
    }
}

/// A mount of a stage that stands further down (L-080).
pub(super) fn from_later(value: &str) -> PlanErrorKind {
    let flag = parse_mount(value).unwrap_or_default();
    PlanErrorKind::MountFromLater {
        from: flag.from.unwrap_or_default(),
        target: flag.target.unwrap_or_default(),
    }
}
