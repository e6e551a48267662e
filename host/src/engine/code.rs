//! Compiled code, kept on disk.
//!
//! Compiling takes 0.1 to 8 seconds, reading the result back a millisecond. A
//! file is named by what it was made from and by whom: the wasm's hash and the
//! engine's configuration. It is written under another name, then renamed, and
//! never overwritten: other instances may have it mapped.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use wasmtime::component::Component;

use crate::model::Version;

/// The folder of compiled code, for one configuration of the engine.
pub(super) struct CodeCache {
    folder: PathBuf,
    /// Changes with wasmtime's version, its settings and the processor.
    engine: u64,
    /// Makes names of unfinished files unique within this process.
    unfinished: AtomicU32,
}

impl CodeCache {
    pub(super) fn new(folder: PathBuf, engine: &wasmtime::Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder, engine: hasher.finish(), unfinished: AtomicU32::new(0) }
    }

    /// The component that `wasm` is, from the cache or compiled now. Takes
    /// seconds of computing if it has to compile.
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        wasm: &[u8],
        version: &Version,
    ) -> wasmtime::Result<Component> {
        let path = self.folder.join(format!("{version}-{:016x}.cwasm", self.engine));
        if let Some(component) = self.read(engine, &path) {
            return Ok(component);
        }
        let code = engine.precompile_component(wasm)?;
        if let Err(error) = self.write(&path, &code) {
            // The host works without a cache, only starts slower.
            tracing::warn!(path = %path.display(), %error, "could not keep compiled code");
        } else if let Some(component) = self.read(engine, &path) {
            return Ok(component);
        }
        // SAFETY: these bytes come from `precompile_component` of this very engine.
        unsafe { Component::deserialize(engine, code) }
    }

    /// None if there is no such file or it is not what was written: a machine
    /// must not execute what a failing disk made of code.
    fn read(&self, engine: &wasmtime::Engine, path: &Path) -> Option<Component> {
        let expected = fs::read_to_string(digest_path(path)).ok()?;
        let found = Version::of(&fs::read(path).ok()?).to_string();
        if found != expected {
            tracing::warn!(path = %path.display(), "compiled code is damaged; compiling again");
            return None;
        }
        // SAFETY: the file has the content that this host (or one before it) wrote; the data folder is the
        // host's alone, which is what every file in it rests on.
        match unsafe { Component::deserialize_file(engine, path) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code can't be used; compiling again");
                None
            }
        }
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        self.write_whole(path, code)?;
        // Last, so that a digest never stands beside unfinished code.
        self.write_whole(&digest_path(path), Version::of(code).to_string().as_bytes())
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let nth = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("tmp-{}-{nth}", std::process::id()));
        let written = File::create(&unfinished).and_then(|mut file| file.write_all(content));
        let renamed = written.and_then(|()| fs::rename(&unfinished, path));
        if renamed.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        renamed
    }
}

fn digest_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}
