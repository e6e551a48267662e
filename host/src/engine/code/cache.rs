//! The cache of compiled code on disk.
//!
//! Compiling takes 0.1 to 8 seconds, reading the code a millisecond. A file is
//! named by the hash of the wasm file and the configuration of the engine. It is
//! written under a temporary name, then renamed, and never overwritten, because
//! other instances may have it mapped.

#![allow(unsafe_code, reason = "machine code that this host has compiled is mapped")]

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::compile::{CompileError, Compiler};
use super::compiled::{Code, Form};
use super::system_error::{is_forbidden, is_scarcity};
use crate::engine::executor::Permit;
use crate::model::Version;
use crate::process::{is_ours_alone, make_private_folder, private_options};

/// Most bytes of the cache: some fifty versions of an interpreter with its
/// libraries, or thousands of a small task. The least recently used files are
/// removed first.
const MAX_BYTES: u64 = 2 << 30;
/// One part in this many of the free space is used before the folder is scanned again, because other hosts may use
/// the cache too.
const ROOM_SHARE: u64 = 4;
/// Bytes that are copied at once; they fit into a CPU cache.
const COPY_BYTES: usize = 128 << 10;

/// The folder of compiled code, for one configuration of the engine.
pub(in crate::engine) struct CodeCache {
    folder: PathBuf,
    compiler: Compiler,
    /// A hash of wasmtime's version, its settings and the CPU.
    engine: u64,
    /// Makes temporary names unique within this process.
    unfinished: AtomicU32,
    /// Bytes that may be stored before the folder is scanned again, which takes time for each file.
    room: Mutex<u64>,
    /// Whether the log says that code can't be executed from this folder.
    copies: AtomicBool,
}

impl CodeCache {
    pub(in crate::engine) fn new(folder: PathBuf, engine: &wasmtime::Engine, compiler: Compiler) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self {
            folder,
            compiler,
            engine: hasher.finish(),
            unfinished: AtomicU32::new(0),
            room: Mutex::new(0),
            copies: AtomicBool::new(false),
        }
    }

    /// The code of `wasm`, from the cache or compiled now. Compiling takes seconds and a permit
    /// from `compiler`; returns none if there is no permit.
    pub(in crate::engine) fn of(
        &self,
        engine: &wasmtime::Engine,
        wasm: &[u8],
        version: &Version,
        compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<Code>, CompileError> {
        let form = Form::of(wasm);
        let path = self.folder.join(format!("{version}-{:016x}.cwasm", self.engine));
        if let Some(code) = self.read(engine, form, &path)? {
            return Ok(Some(code));
        }
        let Some(_compiler) = compiler() else { return Ok(None) };
        let mut code = self.compiler.compile(engine, wasm)?;
        match self.store(&path, &mut code) {
            // Without a check of its checksum, because it has just been written.
            Ok(()) => {
                if let Some(code) = self.map(engine, form, &path)? {
                    return Ok(Some(code));
                }
            }
            // The host works without a cache, but starts more slowly.
            Err(error) => tracing::warn!(path = %path.display(), %error, "failed to store compiled code"),
        }
        self.load_compiled(engine, form, code).map(Some)
    }

    /// Loads code from the compiler's file in memory.
    fn load_compiled(
        &self,
        engine: &wasmtime::Engine,
        form: Form,
        mut code: File,
    ) -> Result<Code, CompileError> {
        let in_memory = format!("/proc/self/fd/{}", code.as_raw_fd());
        // SAFETY: it was compiled by this engine, or by one of the same configuration in a process of this program,
        // which has ended; no other process has the file open.
        if let Ok(code) = unsafe { form.map(engine, Path::new(&in_memory)) } {
            return Ok(code);
        }
        // Without /proc the descriptor has no path, so the code is copied.
        let mut bytes = Vec::new();
        let read = code.rewind().and_then(|()| code.read_to_end(&mut bytes));
        read.map_err(|error| CompileError::Host(format!("can't read the compiled code: {error}")))?;
        // SAFETY: as above.
        unsafe { form.load(engine, &bytes) }.map_err(|error| match self.compiler.has_checked() {
            // So the error is one of the host, not of the file.
            true => CompileError::Host(format!("can't load the compiled code: {error:#}")),
            false => CompileError::File(format!("{error:#}")),
        })
    }

    /// Whether only this user can write to the folder, because its files are executed.
    fn is_ours(&self) -> bool {
        fs::metadata(&self.folder).is_ok_and(|folder| is_ours_alone(&folder))
    }

    /// Reads a file of the cache. Returns none if there is no such file, another user may have written it, or its
    /// checksum is wrong: code that a failing disk has changed must not be executed.
    fn read(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Result<Option<Code>, CompileError> {
        if !self.is_ours() || !fs::metadata(path).is_ok_and(|code| is_ours_alone(&code)) {
            return Ok(None);
        }
        let Ok(expected) = fs::read_to_string(checksum_path(path)) else { return Ok(None) };
        let found = File::open(path).and_then(|mut code| copy_and_sum(&mut code, &mut io::sink()));
        let Ok(found) = found else { return Ok(None) };
        if found != expected {
            tracing::warn!(path = %path.display(), "compiled code is damaged; compiling again");
            return Ok(None);
        }
        // The time of the last use, for `make_room`.
        let _ = File::open(checksum_path(path)).and_then(|file| file.set_modified(SystemTime::now()));
        self.map(engine, form, path)
    }

    /// Maps a file. Returns none if it can't be used, and an error if the system can't map it for now.
    fn map(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Result<Option<Code>, CompileError> {
        // SAFETY: the file has the content that this host or an earlier one wrote; only the host may write to
        // the data folder, which all files in it rely on.
        match unsafe { form.map(engine, path) } {
            Ok(code) => Ok(Some(code)),
            Err(error) if is_scarcity(&error) => {
                Err(CompileError::Host(format!("can't load the compiled code: {error:#}")))
            }
            Err(error) if is_forbidden(&error) => {
                self.warn_of_copies();
                Ok(self.copy(engine, form, path))
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(path = %path.display(), error, "compiled code can't be used; compiling again");
                Ok(None)
            }
        }
    }

    /// Copies a file into memory. Returns none if it can't be used.
    fn copy(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Option<Code> {
        let bytes = fs::read(path).ok()?;
        // SAFETY: as for `map`.
        unsafe { form.load(engine, &bytes) }.ok()
    }

    fn warn_of_copies(&self) {
        if !self.copies.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                folder = %self.folder.display(),
                "compiled code can't be executed from the cache folder, which is probably mounted `noexec`; it is copied \
                 into memory instead, which takes more of it"
            );
        }
    }

    fn store(&self, path: &Path, code: &mut File) -> io::Result<()> {
        make_private_folder(&self.folder)?;
        if !self.is_ours() {
            return Err(io::Error::other("it belongs to another user, or others can write to it"));
        }
        code.rewind()?;
        let checksum = self.write_atomically(path, |file| copy_and_sum(code, file))?;
        // Last, so that there is never a checksum of unfinished code.
        self.write_atomically(&checksum_path(path), |file| file.write_all(checksum.as_bytes()))?;
        let mut room = self.room.lock();
        match room.checked_sub(code.metadata()?.len()) {
            Some(less) => *room = less,
            None => *room = MAX_BYTES.saturating_sub(self.make_room(MAX_BYTES / 16 * 15)?) / ROOM_SHARE,
        }
        Ok(())
    }

    /// Removes the least recently used files, until at most `limit` bytes are left, and
    /// returns that number. Processes that have a file mapped keep it.
    fn make_room(&self, limit: u64) -> io::Result<u64> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension == "crc32") {
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else { continue };
            // Unfinished files of a killed host have no checksum, and count by their own age.
            let used = fs::metadata(checksum_path(&path)).and_then(|checksum| checksum.modified());
            files.push((used.or(metadata.modified())?, metadata.len(), path));
        }
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        files.sort();
        for (_, len, path) in files {
            if bytes <= limit {
                break;
            }
            let _ = fs::remove_file(checksum_path(&path));
            fs::remove_file(&path)?;
            bytes -= len;
        }
        Ok(bytes)
    }

    fn write_atomically<T>(
        &self,
        path: &Path,
        write: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let nth = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("tmp-{}-{nth}", std::process::id()));
        let opened = private_options().create_new(true).open(&unfinished);
        let written = opened.and_then(|mut file| write(&mut file));
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

/// Copies a file and returns its CRC-32, which detects errors of disks, not attacks, and takes a tenth of
/// the time of a SHA-256.
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
    fn the_least_recently_used_file_is_removed_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(folder.path().to_owned(), &wasmtime::Engine::default(), Compiler::Here);
        let path = |name: &str| folder.path().join(format!("{name}.cwasm"));
        let long_ago = SystemTime::now() - Duration::from_secs(1000);
        for (nth, name) in ["oldest", "used", "newest"].into_iter().enumerate() {
            let mut code = tempfile::tempfile().unwrap();
            code.write_all(&[0; 100]).unwrap();
            cache.store(&path(name), &mut code).unwrap();
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
    fn code_that_cannot_be_stored_is_used_nevertheless() {
        let no_folder = tempfile::NamedTempFile::new().unwrap();
        let engine = wasmtime::Engine::default();
        let cache = CodeCache::new(no_folder.path().to_owned(), &engine, Compiler::Here);
        let wasm = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
        let code = cache.of(&engine, &wasm, &Version::of(&wasm), &mut || Some(Box::new(()))).unwrap();
        assert!(matches!(code, Some(Code::Component(_))));
    }
}
