//! `[grants]`: what a task may access. An app's grants apply to all its tasks, in addition to their own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use super::http::{HttpTable, http};
use super::policy::{GrantKind, GrantPolicy};
use super::schema::SizeText;
use crate::engine::{FilesGrant, FolderGrant, Grants, OUTPUT_MOUNT, TaskPattern};
use crate::process::{kernels_in, open_plain};

/// Default limit of the output files of an attempt.
const OUTPUT_BYTES: u64 = 100 << 20;
const OUTPUT_COUNT: u32 = 1_000;
/// Largest limit in a manifest: all files are listed in one response.
const MAX_OUTPUT_COUNT: u32 = 100_000;
/// Most bytes that are read of a file with a secret; longer secrets are rejected.
const MAX_SECRET_FILE_BYTES: u64 = 64 << 10;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "grants")]
pub(super) struct GrantsTable {
    /// Requests to other servers.
    #[schemars(with = "Vec<HttpTable>")]
    http: Vec<Spanned<HttpTable>>,
    /// Environment variables and their values.
    #[schemars(with = "BTreeMap<String, String>")]
    env: BTreeMap<String, Spanned<String>>,
    /// Environment variables with secret values.
    #[schemars(with = "BTreeMap<String, SecretTable>")]
    secrets: BTreeMap<String, Spanned<SecretTable>>,
    /// Folders of the host.
    #[schemars(with = "Vec<FolderTable>")]
    folders: Vec<Spanned<FolderTable>>,
    /// Tasks of other apps that it may start: `app/task` or `app/*`.
    #[schemars(with = "Vec<String>")]
    start: Vec<Spanned<String>>,
    /// Whether files in /output are kept and served.
    #[schemars(with = "bool")]
    output_files: Option<Spanned<bool>>,
    /// Most bytes in the output files of an attempt.
    #[schemars(with = "SizeText")]
    output_files_size: Option<Spanned<ByteSize>>,
    /// Most output files, folders and links of an attempt.
    #[schemars(with = "u32")]
    output_files_count: Option<Spanned<u32>>,
}

/// Source of a secret: exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct SecretTable {
    env: Option<String>,
    file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
struct FolderTable {
    /// Path on the host; relative paths start at the manifest.
    #[schemars(with = "String")]
    path: Spanned<PathBuf>,
    /// Path in the task.
    #[schemars(with = "String")]
    mount: Spanned<String>,
    /// Whether the task may write to it.
    #[serde(default)]
    write: bool,
}

impl GrantsTable {
    /// Adds to existing grants. `folder` is the manifest's own, at which relative paths start.
    pub(super) fn apply(
        self,
        grants: &mut Arc<Grants>,
        folder: &Path,
        policy: &GrantPolicy,
    ) -> Result<(), Fault> {
        if let Some(set) = &self.output_files
            && *set.get_ref()
        {
            policy.kinds.check(GrantKind::Files, set.span().start)?;
        }
        let mut all = Grants::clone(grants);
        for tasks in self.start {
            let pattern = TaskPattern::parse(tasks.get_ref());
            let message =
                || (tasks.span().start, "tasks are `app/task`, or `app/*` for all of an app".to_owned());
            all.start.push(pattern.ok_or_else(message)?);
        }
        for rule in self.http {
            all.http.push(http(rule, policy)?);
        }
        environment(self.env, self.secrets, &mut all, folder, policy)?;
        let set = self.output_files.as_ref().map(|set| *set.get_ref());
        output_files(set, self.output_files_size, self.output_files_count, &mut all, policy)?;
        for granted in self.folders {
            let granted = mounted(granted, folder, policy, all.files.is_some())?;
            all.folders.retain(|earlier| earlier.mount != granted.mount);
            all.folders.push(granted);
        }
        *grants = Arc::new(all);
        Ok(())
    }
}

fn environment(
    env: BTreeMap<String, Spanned<String>>,
    secrets: BTreeMap<String, Spanned<SecretTable>>,
    all: &mut Grants,
    folder: &Path,
    policy: &GrantPolicy,
) -> Result<(), Fault> {
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let check_name = |name: &str, at: usize| {
        if is_name(name) { Ok(()) } else { Err((at, format!("{name:?} can't be a variable's name"))) }
    };
    for (name, value) in env {
        let at = value.span().start;
        policy.kinds.check(GrantKind::Env, at)?;
        check_name(&name, at)?;
        if value.get_ref().contains('\0') {
            return Err((at, "no environment variable can have a NUL byte".to_owned()));
        }
        all.env.insert(name, value.into_inner());
    }
    let mut read = Vec::new();
    let mut places = BTreeMap::new();
    for (name, source) in secrets {
        let at = source.span().start;
        policy.kinds.check(GrantKind::Secrets, at)?;
        check_name(&name, at)?;
        if all.env.contains_key(&name) {
            return Err((at, format!("{name} is also in [grants.env]; it can be only one of the two")));
        }
        let value = secret(source.into_inner(), folder).map_err(|error| (at, error.to_string()))?;
        places.insert(name.clone(), at);
        read.push((name, value));
    }
    if let Some(name) = all.env.keys().find(|name| all.secrets.contains(name)) {
        return Err((0, format!("{name} is in [grants.env] and a secret; it can be only one of the two")));
    }
    if read.is_empty() {
        return Ok(());
    }
    all.secrets.add(read).map_err(|(name, error)| {
        (places.get(&name).copied().unwrap_or(0), format!("the secret {name}: {error}"))
    })
}

/// Whether a text looks like the name of a variable, and not like a key or password.
fn is_surely_a_name(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// Why a secret can't be read. Messages contain neither the value, nor the content of a file, nor the name, which may be a misplaced value.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("this can't be the name of an environment variable")]
    Name,
    #[error("the host's environment variable {shown} is {why}")]
    Variable { shown: String, why: &'static str },
    #[error("can't read the file that is named here: {0}")]
    File(io::Error),
    #[error("a secret is {{ env = \"NAME\" }} or {{ file = \"PATH\" }}")]
    Unclear,
}

/// The value of a secret.
fn secret(source: SecretTable, folder: &Path) -> Result<String, SourceError> {
    match (source.env, source.file) {
        (Some(name), None) if name.is_empty() || name.contains(['=', '\0']) => Err(SourceError::Name),
        (Some(name), None) => std::env::var(&name).map_err(|error| {
            let why = match error {
                std::env::VarError::NotPresent => "not set",
                std::env::VarError::NotUnicode(_) => "not UTF-8",
            };
            let shown = if is_surely_a_name(&name) { &name } else { "that is named here" };
            SourceError::Variable { shown: shown.to_owned(), why }
        }),
        (None, Some(path)) => {
            let path = folder.join(path);
            let read = || {
                let mut text = String::new();
                open_plain(&path)?.take(MAX_SECRET_FILE_BYTES).read_to_string(&mut text)?;
                io::Result::Ok(text)
            };
            let text = read().map_err(SourceError::File)?;
            // Editors end a file with a line break.
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        _ => Err(SourceError::Unclear),
    }
}

fn mounted(
    granted: Spanned<FolderTable>,
    folder: &Path,
    policy: &GrantPolicy,
    has_output: bool,
) -> Result<FolderGrant, Fault> {
    policy.kinds.check(GrantKind::Folders, granted.span().start)?;
    let FolderTable { path, mount, write } = granted.into_inner();
    let at = path.span().start;
    let path = folder.join(path.into_inner());
    let unusable = |error: io::Error| (at, format!("can't use the folder {}: {error}", path.display()));
    let real = fs::canonicalize(&path).map_err(unusable)?;
    if !real.is_dir() {
        return Err((at, format!("{} is not a folder", path.display())));
    }
    // It has compiled code, which the host executes, and data of other tasks.
    if overlap(&real, &policy.data) {
        return Err((at, "the host's data folder can't be granted, nor a folder that it lies in".to_owned()));
    }
    // Writing a manifest means granting.
    if write && overlap(&real, &policy.tasks) {
        let message = "no task may write into the tasks folder, nor into a folder that it lies in";
        return Err((at, message.to_owned()));
    }
    // These give access to the host and its machine: environment, memory, devices.
    if let Some(kernels) = kernels_in(&real) {
        let what = format!("{} belongs to the system: neither it", kernels.display());
        return Err((at, format!("{what} nor a folder that it lies in or that lies in it can be granted")));
    }
    let at = mount.span().start;
    let names = mount.get_ref().strip_prefix('/').map(|rest| rest.split('/').collect::<Vec<_>>());
    let is_name = |name: &&str| !["", ".", ".."].contains(name) && !name.contains('\0');
    if !names.is_some_and(|names| names == [""] || names.iter().all(is_name)) {
        return Err((at, "a mount is an absolute path such as /data, without `.` and `..`".to_owned()));
    }
    if has_output && mount.get_ref() == OUTPUT_MOUNT {
        return Err((at, format!("{OUTPUT_MOUNT} is where the output files go")));
    }
    Ok(FolderGrant { path: real, mount: mount.into_inner(), write, said_in: None })
}

fn overlap(one: &Path, other: &Path) -> bool {
    let other = fs::canonicalize(other).unwrap_or_else(|_| other.to_owned());
    one.starts_with(&other) || other.starts_with(one)
}

fn output_files(
    set: Option<bool>,
    size: Option<Spanned<ByteSize>>,
    count: Option<Spanned<u32>>,
    all: &mut Grants,
    policy: &GrantPolicy,
) -> Result<(), Fault> {
    let most = policy.max_files_bytes;
    let default = FilesGrant { size: OUTPUT_BYTES.min(most), count: OUTPUT_COUNT };
    match set {
        Some(true) => all.files = Some(all.files.unwrap_or(default)),
        Some(false) => all.files = None,
        None => {}
    }
    if let Some(size) = size {
        let (at, size) = (size.span().start, size.into_inner().as_u64());
        if size > most {
            return Err((at, format!("the host allows at most {}", ByteSize(most))));
        }
        files_of(all, at)?.size = size;
    }
    if let Some(count) = count {
        let (at, count) = (count.span().start, count.into_inner());
        if count > MAX_OUTPUT_COUNT {
            return Err((at, format!("there are at most {MAX_OUTPUT_COUNT} output files")));
        }
        files_of(all, at)?.count = count;
    }
    Ok(())
}

fn files_of(all: &mut Grants, at: usize) -> Result<&mut FilesGrant, Fault> {
    all.files.as_mut().ok_or_else(|| (at, "there are none without output-files = true".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{HostPattern, HttpGrant, HttpScheme};

    fn policy(kinds: &str) -> GrantPolicy {
        let (data, tasks) = ("/nonexistent/data".into(), "/nonexistent/tasks".into());
        GrantPolicy { kinds: kinds.parse().unwrap(), max_files_bytes: 1 << 30, data, tasks }
    }

    fn grants_in(folder: &Path, kinds: &str, text: &str) -> Result<Grants, Fault> {
        let table: GrantsTable = toml::from_str(text).unwrap();
        let mut grants = Arc::default();
        table.apply(&mut grants, folder, &policy(kinds))?;
        Ok(Arc::unwrap_or_clone(grants))
    }

    fn grants(text: &str) -> Result<Grants, Fault> {
        grants_in(Path::new("/"), "all", text)
    }

    #[test]
    fn a_rule_has_careful_defaults() {
        let granted = grants("[[http]]\nhost = '*.Example.org'\n").unwrap();
        assert_eq!(
            granted.http,
            [HttpGrant {
                host: HostPattern::parse("*.example.org").unwrap(),
                schemes: vec![HttpScheme::Https],
                ports: Vec::new(),
                methods: Vec::new(),
                private: false,
                max_response_bytes: 16 << 20,
                timeout: Duration::from_secs(60),
                said_in: None,
            }]
        );
        assert_eq!(grants("").unwrap(), Grants::default());
    }

    #[test]
    fn relative_paths_begin_at_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("key"), "hunter2hunter2\n").unwrap();
        let text = "[[folders]]\npath = 'in'\nmount = '/data'\n[secrets]\nKEY = { file = 'key' }\n";
        let Grants { folders, secrets, .. } = grants_in(folder.path(), "all", text).unwrap();
        assert_eq!(folders[0].path, fs::canonicalize(folder.path().join("in")).unwrap());
        assert!(secrets.contains("KEY") && !folders[0].write);
    }

    #[test]
    fn what_the_host_does_not_let_manifests_grant_is_refused() {
        for (text, kind) in [
            ("[[http]]\nhost = 'a.org'\n", "http"),
            ("[[http]]\nhost = 'a.org'\nprivate = true\n", "private"),
            ("[env]\nA = 'b'\n", "env"),
            ("[secrets]\nA = { env = 'PATH' }\n", "secrets"),
            ("[[folders]]\npath = '/'\nmount = '/'\n", "folders"),
            ("output-files = true\n", "files"),
        ] {
            let others: Vec<&str> =
                GrantKind::ALL.map(GrantKind::as_str).into_iter().filter(|name| *name != kind).collect();
            let (_, message) = grants_in(Path::new("/"), &others.join(","), text).unwrap_err();
            assert!(message.contains(&format!("no manifest grant {kind};")), "{message}");
            assert!(message.contains("--grants "), "{message}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let cases = [
            ("[[http]]\nhost = '2130706433'\n", 16, "a host is"),
            ("[[http]]\nhost = 'http://a.org'\n", 16, "a host is"),
            ("[[http]]\nhost = 'a'\nmethods = ['get']\n", 31, "a method is"),
            ("[[http]]\nhost = 'a'\ntimeout = '25h'\n", 30, "at most"),
            ("[[http]]\nhost = 'a'\ntimeout = 'none'\n", 30, "at most"),
            ("[[folders]]\npath = '/nonexistent'\nmount = '/x'\n", 19, "/nonexistent: No such file"),
            ("[[folders]]\npath = '/dev/null'\nmount = '/x'\n", 19, "is not a folder"),
            ("[[folders]]\npath = '/usr'\nmount = 'x'\n", 34, "a mount is"),
            ("[[folders]]\npath = '/usr'\nmount = '/x/../y'\n", 34, "a mount is"),
            ("output-files = true\n[[folders]]\npath = '/usr'\nmount = '/output'\n", 54, "output files go"),
            ("[secrets]\nKEY = {}\n", 16, "a secret is"),
            ("[secrets]\nKEY = { env = 'A', file = 'b' }\n", 16, "a secret is"),
            ("[secrets]\nKEY = { env = 'NOT_SET_ANYWHERE' }\n", 16, "NOT_SET_ANYWHERE is not set"),
            (
                "[secrets]\nKEY = { file = '/nonexistent' }\n",
                16,
                "can't read the file that is named here: No such file",
            ),
            ("[secrets]\nKEY = { file = '/dev/null' }\n", 16, "this is not a file"),
            ("[secrets]\nKEY = { env = 'sk-live-1234' }\n", 16, "that is named here is not set"),
            ("[[folders]]\npath = '/proc/self'\nmount = '/x'\n", 19, "belongs to the system"),
            ("[[folders]]\npath = '/dev'\nmount = '/x'\n", 19, "belongs to the system"),
            ("[[folders]]\npath = '/'\nmount = '/x'\n", 19, "data folder"),
            ("[env]\n'A=B' = 'c'\n", 14, "can't be a variable's name"),
            ("output-files-size = '1MiB'\n", 20, "output-files = true"),
            ("output-files = true\noutput-files-size = '2GiB'\n", 40, "at most 1.0 GiB"),
            ("output-files = true\noutput-files-count = 1000000\n", 41, "at most 100000"),
        ];
        for (text, at, message) in cases {
            let fault = grants(text).unwrap_err();
            assert!(fault.0 == at && fault.1.contains(message), "{text:?}: {fault:?}");
        }
    }

    #[test]
    fn the_hosts_own_data_is_never_granted() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("cache")).unwrap();
        let tasks = folder.path().join("tasks");
        fs::create_dir(&tasks).unwrap();
        let policy = GrantPolicy { data, tasks, ..policy("all") };
        let refused = |text: &str| {
            let table: GrantsTable = toml::from_str(text).unwrap();
            table.apply(&mut Arc::default(), folder.path(), &policy).err().map(|fault| fault.1)
        };
        let tasks = "[[folders]]\npath = 'tasks'\nmount = '/x'\n";
        assert_eq!(refused(tasks), None);
        assert!(refused(&format!("{tasks}write = true\n")).unwrap().contains("tasks folder"));
        for path in ["data", "data/cache", ".", "/"] {
            let text = format!("[[folders]]\npath = '{path}'\nmount = '/x'\n");
            assert!(refused(&text).unwrap().contains("data folder"));
        }
    }
}
