//! Commands for files: the output files of a run, and task files for a host.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytesize::ByteSize;
use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::Value;
use uuid::Uuid;

use super::client::{Client, ClientError};
use super::interrupts::Interrupts;
use super::lists::{encoded, items, json, print_json, text};
use super::relative::ago;
use super::table::{self, Table, column, dim};
use super::{Exit, Server};
use crate::process::plain;

/// List the output files of a run, or download one.
#[derive(Args)]
pub(super) struct Files {
    /// Id of the run
    run: String,
    /// Path of the file to download, as listed [default: list all]
    #[arg(value_name = "NAME")]
    file: Option<String>,
    /// File to write to; - for stdout [default: the last part of NAME]
    #[arg(long, short, value_name = "FILE", requires = "file")]
    output: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long, short, requires = "file")]
    force: bool,
    #[command(flatten)]
    server: Server,
    /// Print the JSON response of the host
    #[arg(long, conflicts_with = "file")]
    json: bool,
}

/// Upload tasks to a host that accepts uploads (`serve --uploads`).
#[derive(Args)]
pub(super) struct Put {
    /// Task files, NAME.wasm
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// App of the tasks
    #[arg(long, default_value = "default")]
    app: String,
    /// Name of the task [default: NAME of NAME.wasm]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    server: Server,
    /// Print the tasks as JSON, one per line, as the host describes them
    #[arg(long)]
    json: bool,
}

impl Files {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let client = self.server.client()?;
        match &self.file {
            Some(file) => self.download(&client, file).await,
            None => self.list(&client).await,
        }
    }

    async fn list(&self, client: &Client) -> Result<(), Exit> {
        let answer = client.get(&format!("/api/runs/{}/files", encoded(&self.run))).await?;
        if self.json {
            return print_json(&answer);
        }
        let (for_people, now) = (table::is_for_people(), SystemTime::now());
        let mut table = Table::new(vec![column("name"), column("size"), dim("modified"), dim("type")]);
        for file in items(&answer, "files") {
            let size = file["size"].as_u64().unwrap_or_default();
            let modified = text(&file["modified"]);
            table.add(vec![
                text(&file["path"]),
                if for_people { ByteSize(size).display().iec().to_string() } else { size.to_string() },
                if for_people { ago(&modified, now) } else { modified },
                text(&file["content_type"]),
            ]);
        }
        table.print("the run has no output files")?;
        Ok(())
    }

    async fn download(&self, client: &Client, file: &str) -> Result<(), Exit> {
        let names: Vec<String> = file.split('/').map(encoded).collect();
        let path = format!("/api/runs/{}/files/{}", encoded(&self.run), names.join("/"));
        if self.output.as_deref() == Some(Path::new("-")) {
            return copy(client, &path, &mut io::stdout().lock()).await;
        }
        let target = match &self.output {
            Some(output) => output.clone(),
            // A guest chooses the names of its files: only the last part counts, which is no path.
            None => PathBuf::from(own_name(file)?),
        };
        let shown = plain(&target.display().to_string()).into_owned();
        let cannot = |error: io::Error| Exit::Usage(format!("can't write {shown}: {error}"));
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => {
                return Err(Exit::Usage(format!("{shown} is a folder; name a file in it with -o")));
            }
            // A device or a pipe is written to, and never replaced.
            Ok(found) if !found.is_file() => {
                let mut device = OpenOptions::new().write(true).open(&target).map_err(cannot)?;
                return copy(client, &path, &mut device).await;
            }
            Ok(_) if !self.force => {
                return Err(Exit::Usage(format!(
                    "{shown} exists; --force replaces it, or name another with -o"
                )));
            }
            _ => {}
        }
        let mut interrupts = Interrupts::of_command()?;
        // Beside the target, so that a download that breaks off leaves no part of a file under its name.
        let part = beside(&target);
        let mut writer = OpenOptions::new().write(true).create_new(true).open(&part).map_err(cannot)?;
        let copied = tokio::select! {
            copied = copy(client, &path, &mut writer) => copied,
            () = interrupts.next() => Err(Exit::Interrupted("interrupted before the end of the file".to_owned())),
        };
        let done = copied.and_then(|()| give_name(&part, &target, self.force).map_err(cannot));
        if done.is_err() {
            let _ = fs::remove_file(&part);
        }
        done?;
        writeln!(io::stdout().lock(), "{shown}")?;
        Ok(())
    }
}

/// Renames a complete download. Without `force` it replaces nothing, not even a file that has appeared meanwhile.
fn give_name(part: &Path, target: &Path, force: bool) -> io::Result<()> {
    if force {
        return fs::rename(part, target);
    }
    match renameat_with(CWD, part, CWD, target, RenameFlags::NOREPLACE) {
        // Some file systems, such as NFS, know no such rename. The target was missing before the download.
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(part, target),
        renamed => Ok(renamed?),
    }
}

async fn copy(client: &Client, path: &str, out: &mut impl Write) -> Result<(), Exit> {
    let mut pieces = client.download(path).await?;
    while let Some(piece) = pieces.next().await? {
        out.write_all(&piece)?;
    }
    out.flush()?;
    Ok(())
}

/// The name of a file without its folders.
fn own_name(path: &str) -> Result<&str, Exit> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "" | "." | ".." => Err(Exit::Usage(format!("{path:?} is not the name of a file"))),
        name => Ok(name),
    }
}

/// A hidden file in the same folder. Its name is short, whatever the length of that of the target.
fn beside(target: &Path) -> PathBuf {
    target.with_file_name(format!(".streamtask-{}.part", Uuid::now_v7()))
}

impl Put {
    pub(super) async fn run(self) -> Result<(), Exit> {
        if self.name.is_some() && self.files.len() > 1 {
            return Err(Exit::Usage("--name works only for one file".to_owned()));
        }
        let client = self.server.client()?;
        for path in &self.files {
            let shown = plain(&path.display().to_string()).into_owned();
            let name = match &self.name {
                Some(name) => name.as_str(),
                None => task_name(path).ok_or_else(|| {
                    Exit::Usage(format!("{shown} is not a task: its name must end with .wasm"))
                })?,
            };
            let wasm = fs::read(path).map_err(|error| Exit::Usage(format!("can't read {shown}: {error}")))?;
            let url = format!("/api/tasks/{}/{}", encoded(&self.app), encoded(name));
            let task = client.upload(&url, wasm.into()).await.map_err(|error| match error {
                // With the file, because there may be several.
                ClientError::Refused { status, detail } => {
                    ClientError::Refused { status, detail: format!("{shown}: {detail}") }
                }
                error => error,
            })?;
            if path.with_extension("toml").is_file() {
                note_manifest(path, &self.app, name);
            }
            let mut out = io::stdout().lock();
            match task {
                Some(task) if self.json => writeln!(out, "{}", json(&task))?,
                Some(task) => writeln!(out, "{}", uploaded(&task))?,
                None if self.json => writeln!(out, "null")?,
                None => {
                    let (app, name) = (plain(&self.app), plain(name));
                    writeln!(out, "{app}/{name} is stored, and not loaded yet; see `streamtask tasks`")?;
                }
            }
        }
        Ok(())
    }
}

/// Says what to do about a manifest beside an uploaded task. A manifest grants access to the host's machine, so the host
/// takes none from clients.
fn note_manifest(path: &Path, app: &str, name: &str) {
    let manifest = path.with_extension("toml");
    let (shown, app, name) = (manifest.display().to_string(), plain(app), plain(name));
    // Tasks of the app `default` are at the top of the folder.
    let folder = if app == "default" { String::new() } else { format!("{app}/") };
    let _ = writeln!(
        io::stderr().lock(),
        "{} was not uploaded: it grants access, so the host's operator puts it into the tasks folder, as {folder}{name}.toml",
        plain(&shown)
    );
}

fn uploaded(task: &Value) -> String {
    let version: String = text(&task["version"]).chars().take(12).collect();
    format!("{}/{} serves version {version}", text(&task["app"]), text(&task["task"]))
}

/// NAME of NAME.wasm.
fn task_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_suffix(".wasm").filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_guest_is_written_under_its_own_name_only() {
        assert_eq!(own_name("a/report.csv").unwrap(), "report.csv");
        for name in ["", "a/", "..", "a/.."] {
            assert!(own_name(name).is_err(), "{name:?}");
        }
        assert_eq!(beside(Path::new("/tmp/a.txt")).parent(), Some(Path::new("/tmp")));
    }

    #[test]
    fn a_download_replaces_a_file_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let (part, target) = (folder.path().join("part"), folder.path().join("target"));
        fs::write(&part, "new").unwrap();
        fs::write(&target, "old").unwrap();
        let refused = give_name(&part, &target, false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        give_name(&part, &target, true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(!part.exists());
    }

    #[test]
    fn a_task_is_named_by_its_file() {
        assert_eq!(task_name(Path::new("build/greet.wasm")), Some("greet"));
        assert_eq!(task_name(Path::new(".wasm")), None);
        assert_eq!(task_name(Path::new("greet.toml")), None);
    }
}
