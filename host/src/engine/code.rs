//! Compiled code, kept on disk.
//!
//! Compiling takes 0.1 to 8 seconds, reading the result back a millisecond. A
//! file is named by what it was made from and by whom: the wasm's hash and the
//! engine's configuration. It is written under another name, then renamed, and
//! never overwritten: other instances may have it mapped.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use wasmtime::Module;
use wasmtime::component::Component;

use super::compile::Compiler;
use super::core_module;
use crate::model::Version;

/// Most bytes that are kept; room for some fifty versions of an interpreter with
/// its libraries, or thousands of a small task. What was not used for the longest
/// time goes first.
const MAX_BYTES: u64 = 2 << 30;
/// Code that is copied at once; fits a processor's cache.
const COPY_BYTES: usize = 128 << 10;

/// Compiled code, ready to be linked.
#[derive(Clone)]
pub(super) enum Code {
    Component(Component),
    /// A program for WASI preview 1.
    Module(Module),
}

/// Which of them a file becomes; the same code can't be read as the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Component,
    Module,
}

impl Form {
    pub(super) fn of(wasm: &[u8]) -> Self {
        if core_module::is_program(wasm) { Self::Module } else { Self::Component }
    }

    /// # Safety
    ///
    /// `code` was made by this very engine, or its like, from a file of this form.
    pub(super) unsafe fn load(self, engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Code> {
        match self {
            Self::Component => unsafe { Component::deserialize(engine, code) }.map(Code::Component),
            Self::Module => unsafe { Module::deserialize(engine, code) }.map(Code::Module),
        }
    }

    /// The same, from a file, which is mapped.
    ///
    /// # Safety
    ///
    /// As for [`load`](Self::load); and nobody changes the file.
    unsafe fn map(self, engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Code> {
        match self {
            Self::Component => unsafe { Component::deserialize_file(engine, path) }.map(Code::Component),
            Self::Module => unsafe { Module::deserialize_file(engine, path) }.map(Code::Module),
        }
    }
}

/// The folder of compiled code, for one configuration of the engine.
pub(super) struct CodeCache {
    folder: PathBuf,
    compiler: Compiler,
    /// Changes with wasmtime's version, its settings and the processor.
    engine: u64,
    /// Makes names of unfinished files unique within this process.
    unfinished: AtomicU32,
}

impl CodeCache {
    pub(super) fn new(folder: PathBuf, engine: &wasmtime::Engine, compiler: Compiler) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder, compiler, engine: hasher.finish(), unfinished: AtomicU32::new(0) }
    }

    /// What `wasm` becomes, from the cache or compiled now. Takes seconds of computing if
    /// it has to compile.
    pub(super) fn of(
        &self,
        engine: &wasmtime::Engine,
        wasm: &[u8],
        version: &Version,
    ) -> wasmtime::Result<Code> {
        let form = Form::of(wasm);
        let path = self.folder.join(format!("{version}-{:016x}.cwasm", self.engine));
        if let Some(code) = self.read(engine, form, &path) {
            return Ok(code);
        }
        let mut code = self.compiler.compile(engine, wasm)?;
        match self.keep(&path, &mut code) {
            // Not compared with its checksum: it was written just now.
            Ok(()) => {
                if let Some(code) = self.map(engine, form, &path) {
                    return Ok(code);
                }
            }
            // The host works without a cache, only starts slower.
            Err(error) => tracing::warn!(path = %path.display(), %error, "could not keep compiled code"),
        }
        let in_memory = format!("/proc/self/fd/{}", code.as_raw_fd());
        // SAFETY: it was compiled by this very engine, or by its like in a process of this very program, which
        // is gone; nobody else has the file.
        unsafe { form.map(engine, Path::new(&in_memory)) }
    }

    /// None if there is no such file or it is not what was written: a machine
    /// must not execute what a failing disk made of code.
    fn read(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Option<Code> {
        let expected = fs::read_to_string(checksum_path(path)).ok()?;
        let found = copy_and_sum(&mut File::open(path).ok()?, &mut io::sink()).ok()?;
        if found != expected {
            tracing::warn!(path = %path.display(), "compiled code is damaged; compiling again");
            return None;
        }
        // When it was used last, for `make_room`.
        let _ = File::open(checksum_path(path)).and_then(|file| file.set_modified(SystemTime::now()));
        self.map(engine, form, path)
    }

    fn map(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Option<Code> {
        // SAFETY: the file has the content that this host (or one before it) wrote; the data folder is the
        // host's alone, which is what every file in it rests on.
        match unsafe { form.map(engine, path) } {
            Ok(code) => Some(code),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code can't be used; compiling again");
                None
            }
        }
    }

    fn keep(&self, path: &Path, code: &mut File) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        code.rewind()?;
        let checksum = self.write_whole(path, |file| copy_and_sum(code, file))?;
        // Last, so that a checksum never stands beside unfinished code.
        self.write_whole(&checksum_path(path), |file| file.write_all(checksum.as_bytes()))?;
        self.make_room(MAX_BYTES)
    }

    /// Removes what was not used for the longest time, until at most `limit` bytes are
    /// kept. Who has a file mapped keeps it.
    fn make_room(&self, limit: u64) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension == "crc32") {
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else { continue };
            // What a host that was killed left unfinished has no checksum, and counts by its own age.
            let used = fs::metadata(checksum_path(&path)).and_then(|checksum| checksum.modified());
            kept.push((used.or(metadata.modified())?, metadata.len(), path));
        }
        let mut bytes: u64 = kept.iter().map(|(_, len, _)| len).sum();
        kept.sort();
        for (_, len, path) in kept {
            if bytes <= limit {
                break;
            }
            let _ = fs::remove_file(checksum_path(&path));
            fs::remove_file(&path)?;
            bytes -= len;
        }
        Ok(())
    }

    fn write_whole<T>(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let nth = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("tmp-{}-{nth}", std::process::id()));
        let written = File::create(&unfinished).and_then(|mut file| write(&mut file));
        let renamed = written.and_then(|value| fs::rename(&unfinished, path).map(|()| value));
        if renamed.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        renamed
    }
}

fn checksum_path(path: &Path) -> PathBuf {
    path.with_extension("crc32")
}

/// Copies all of a file, and returns its CRC-32: that is against disks, not against people, and takes a
/// tenth of the time of a SHA-256.
fn copy_and_sum(from: &mut File, to: &mut impl io::Write) -> io::Result<String> {
    let mut hasher = crc32fast::Hasher::new();
    let mut chunk = vec![0; COPY_BYTES];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(format!("{:08x}", hasher.finalize()));
        }
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(folder.path().to_owned(), &wasmtime::Engine::default(), Compiler::Here);
        let path = |name: &str| folder.path().join(format!("{name}.cwasm"));
        let long_ago = SystemTime::now() - Duration::from_secs(1000);
        for (nth, name) in ["oldest", "used", "newest"].into_iter().enumerate() {
            let mut code = tempfile::tempfile().unwrap();
            code.write_all(&[0; 100]).unwrap();
            cache.keep(&path(name), &mut code).unwrap();
            let time = long_ago + Duration::from_secs(nth as u64);
            for file in [path(name), checksum_path(&path(name))] {
                File::open(file).unwrap().set_modified(time).unwrap();
            }
        }
        File::open(checksum_path(&path("used"))).unwrap().set_modified(SystemTime::now()).unwrap();
        cache.make_room(250).unwrap();
        assert!(!path("oldest").exists() && !checksum_path(&path("oldest")).exists());
        cache.make_room(100).unwrap();
        assert!(path("used").exists() && !path("newest").exists());
    }
    #[test]
    fn code_that_cannot_be_kept_is_used_all_the_same() {
        let no_folder = tempfile::NamedTempFile::new().unwrap();
        let engine = wasmtime::Engine::default();
        let cache = CodeCache::new(no_folder.path().to_owned(), &engine, Compiler::Here);
        let wasm = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
        let code = cache.of(&engine, &wasm, &Version::of(&wasm)).unwrap();
        assert!(matches!(code, Code::Component(_)));
    }
}
