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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::compile::{CompileError, Compiler};
use super::compiled::{Code, Form};
use super::system_error::{is_forbidden, is_scarcity};
use crate::engine::executor::Permit;
use crate::model::Version;
use crate::process::{is_ours_alone, make_private_folder, private_options};

/// Most bytes that are kept; room for some fifty versions of an interpreter with
/// its libraries, or thousands of a small task. What was not used for the longest
/// time goes first.
const MAX_BYTES: u64 = 2 << 30;
/// Of the room that is left, this part is filled before it is looked again: other hosts may fill it, too.
const ROOM_SHARE: u64 = 4;
/// Code that is copied at once; fits a processor's cache.
const COPY_BYTES: usize = 128 << 10;

/// The folder of compiled code, for one configuration of the engine.
pub(in crate::engine) struct CodeCache {
    folder: PathBuf,
    compiler: Compiler,
    /// Changes with wasmtime's version, its settings and the processor.
    engine: u64,
    /// Makes names of unfinished files unique within this process.
    unfinished: AtomicU32,
    /// Bytes that may be kept before the folder is looked through again, which takes as long as it has files.
    room: Mutex<u64>,
    /// Whether it was said that code can't be executed from there.
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

    /// What `wasm` becomes, from the cache or compiled now. Takes seconds of computing if
    /// it has to compile, for which it has what `compiler` gives; none if there is nothing.
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
        match self.keep(&path, &mut code) {
            // Not compared with its checksum: it was written just now.
            Ok(()) => {
                if let Some(code) = self.map(engine, form, &path)? {
                    return Ok(Some(code));
                }
            }
            // The host works without a cache, only starts slower.
            Err(error) => tracing::warn!(path = %path.display(), %error, "could not keep compiled code"),
        }
        self.take(engine, form, code).map(Some)
    }

    /// Code as the compiler has left it, in memory.
    fn take(&self, engine: &wasmtime::Engine, form: Form, mut code: File) -> Result<Code, CompileError> {
        let in_memory = format!("/proc/self/fd/{}", code.as_raw_fd());
        // SAFETY: it was compiled by this very engine, or by its like in a process of this very program, which
        // is gone; nobody else has the file.
        if let Ok(code) = unsafe { form.map(engine, Path::new(&in_memory)) } {
            return Ok(code);
        }
        // Without /proc its descriptor has no name; then it is copied.
        let mut bytes = Vec::new();
        let read = code.rewind().and_then(|()| code.read_to_end(&mut bytes));
        read.map_err(|error| CompileError::Host(format!("can't read the compiled code: {error}")))?;
        // SAFETY: as above.
        unsafe { form.load(engine, &bytes) }.map_err(|error| match self.compiler.has_checked() {
            // So it is nothing of the file that keeps it from being loaded here.
            true => CompileError::Host(format!("can't load the compiled code: {error:#}")),
            false => CompileError::File(format!("{error:#}")),
        })
    }

    /// Whether only this user can have put files there: what is in it is executed.
    fn is_ours(&self) -> bool {
        fs::metadata(&self.folder).is_ok_and(|folder| is_ours_alone(&folder))
    }

    /// None if there is no such file, another user may have written it, or it is not what was written: a machine
    /// must not execute what a failing disk made of code.
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
        // When it was used last, for `make_room`.
        let _ = File::open(checksum_path(path)).and_then(|file| file.set_modified(SystemTime::now()));
        self.map(engine, form, path)
    }

    /// None if it can't be used. What the system can't map now could be used at another time.
    fn map(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Result<Option<Code>, CompileError> {
        // SAFETY: the file has the content that this host (or one before it) wrote; the data folder is the
        // host's alone, which is what every file in it rests on.
        match unsafe { form.map(engine, path) } {
            Ok(code) => Ok(Some(code)),
            Err(error) if is_scarcity(&error) => {
                Err(CompileError::Host(format!("can't load the compiled code: {error:#}")))
            }
            Err(error) if is_forbidden(&error) => {
                self.say_that_it_is_copied();
                Ok(self.copy(engine, form, path))
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(path = %path.display(), error, "compiled code can't be used; compiling again");
                Ok(None)
            }
        }
    }

    /// The same in memory of the host's own. None if it can't be used.
    fn copy(&self, engine: &wasmtime::Engine, form: Form, path: &Path) -> Option<Code> {
        let bytes = fs::read(path).ok()?;
        // SAFETY: as for `map`.
        unsafe { form.load(engine, &bytes) }.ok()
    }

    fn say_that_it_is_copied(&self) {
        if !self.copies.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                folder = %self.folder.display(),
                "code can't be executed from the folder where it is kept, which is probably mounted `noexec`; each \
                 task's is copied into memory, which takes more of it"
            );
        }
    }

    fn keep(&self, path: &Path, code: &mut File) -> io::Result<()> {
        make_private_folder(&self.folder)?;
        if !self.is_ours() {
            return Err(io::Error::other("it belongs to another user, or others can write to it"));
        }
        code.rewind()?;
        let checksum = self.write_whole(path, |file| copy_and_sum(code, file))?;
        // Last, so that a checksum never stands beside unfinished code.
        self.write_whole(&checksum_path(path), |file| file.write_all(checksum.as_bytes()))?;
        let mut room = self.room.lock();
        match room.checked_sub(code.metadata()?.len()) {
            Some(less) => *room = less,
            None => *room = MAX_BYTES.saturating_sub(self.make_room(MAX_BYTES / 16 * 15)?) / ROOM_SHARE,
        }
        Ok(())
    }

    /// Removes what was not used for the longest time, until at most `limit` bytes are
    /// kept; returns how many. Who has a file mapped keeps it.
    fn make_room(&self, limit: u64) -> io::Result<u64> {
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
        Ok(bytes)
    }

    fn write_whole<T>(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
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
        let code = cache.of(&engine, &wasm, &Version::of(&wasm), &mut || Some(Box::new(()))).unwrap();
        assert!(matches!(code, Some(Code::Component(_))));
    }
}
