//! Guests, built from source once for each test run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{child, root};

/// Names a folder of guests that are built already, such as `probe.wasm`. What is not there is built.
const PREBUILT: &str = "STREAMTASK_GUESTS";

static BUILT: OnceLock<()> = OnceLock::new();

/// Builds the guests of the tests and of the examples, if they are not up to date.
fn build() {
    BUILT.get_or_init(|| {
        for workspace in ["tests/guests", "example-tasks"] {
            let status = child::cargo()
                .args(["build", "--quiet", "--release", "--workspace", "--target", "wasm32-wasip2"])
                .current_dir(root().join(workspace))
                // What cargo set for the test itself must not reach the build of a guest.
                .env_remove("RUSTFLAGS")
                .env_remove("CARGO_TARGET_DIR")
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .status()
                .expect("cargo runs");
            assert!(
                status.success(),
                "the guests in {workspace} can't be built; is wasm32-wasip2 installed?"
            );
        }
    });
}

fn built(workspace: &str, name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let prebuilt = std::env::var_os(PREBUILT).map(|folder| Path::new(&folder).join(&file));
    if let Some(prebuilt) = prebuilt.filter(|prebuilt| prebuilt.is_file()) {
        return prebuilt;
    }
    build();
    root().join(workspace).join("target/wasm32-wasip2/release").join(file)
}

/// The probe: does what its input says.
pub fn probe() -> Vec<u8> {
    read(&built("tests/guests", "probe"))
}

/// The guest that misuses whatever a guest can call.
pub fn hostile() -> Vec<u8> {
    read(&built("tests/guests", "hostile"))
}

/// The guest that reaches for other servers, variables and files.
pub fn reach() -> Vec<u8> {
    read(&built("tests/guests", "reach"))
}

/// The guest of the async world.
pub fn awaits() -> Vec<u8> {
    read(&built("tests/guests", "awaits"))
}

/// The ordinary program.
pub fn program() -> Vec<u8> {
    read(&built("tests/guests", "program"))
}

/// The conformance kit's guest in Rust.
pub fn conformance() -> Vec<u8> {
    read(&built("tests/guests", "conformance"))
}

/// One of the Rust examples.
pub fn example(name: &str) -> Vec<u8> {
    read(&built("example-tasks", name))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("can't read {}: {error}", path.display()))
}

/// The same guest as another version: with a custom section that says `marker`.
pub fn marked(wasm: &[u8], marker: &str) -> Vec<u8> {
    let name = b"marker";
    let mut content = vec![name.len() as u8];
    content.extend_from_slice(name);
    content.extend_from_slice(marker.as_bytes());
    assert!(content.len() < 128, "one byte of length");
    let mut marked = wasm.to_vec();
    marked.push(0);
    marked.push(content.len() as u8);
    marked.extend_from_slice(&content);
    marked
}

/// A task that compiles in a millisecond: its input is a number, and it sends
/// `tick` with `{"by":MARK}` three times, so many milliseconds apart, and returns
/// the mark. Another mark is another version.
pub fn ticker(mark: &str) -> Vec<u8> {
    ticker_with(mark, "")
}

/// The same, with more items in the text of its core module, such as tables.
pub fn ticker_with(mark: &str, items: &str) -> Vec<u8> {
    assert!(mark.len() < 200 && mark.bytes().all(|byte| byte.is_ascii_alphanumeric()), "a plain mark");
    let text = include_str!("../guests/ticker.wat");
    let text = text.replace("DATA_LENGTH", &(mark.len() + 9).to_string());
    let text = text.replace("MARK_LENGTH", &(mark.len() + 2).to_string());
    wat(&text.replace("MARK", mark).replace(";; ITEMS", items))
}

/// A task in text, of the parts that are given; all others are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bare<'a> {
    /// What stands in the component before its core module `$main`.
    pub component: &'a str,
    /// What `$main` imports.
    pub imports: &'a str,
    /// What `$main` is given for that.
    pub with: &'a str,
    /// What else is in `$main`; its memory is `$own`.
    pub items: &'a str,
    /// What `process` does before it returns `null`.
    pub body: &'a str,
}

impl Bare<'_> {
    /// The component.
    pub fn wasm(&self) -> Vec<u8> {
        let parts = [
            (";; COMPONENT", self.component),
            (";; IMPORTS", self.imports),
            (";; WITH", self.with),
            (";; ITEMS", self.items),
            (";; BODY", self.body),
        ];
        let text = include_str!("../guests/bare.wat").to_owned();
        wat(&parts.iter().fold(text, |text, (place, part)| text.replace(place, part)))
    }
}

/// A component from its text.
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

/// Puts a file into the tasks folder the way a careful tool does: whole at once.
pub fn install(tasks: &Path, path: &str, wasm: &[u8]) {
    let target = tasks.join(path);
    let folder = target.parent().expect("within the folder");
    fs::create_dir_all(folder).expect("a writable folder");
    let unfinished = folder.join(format!(".{}.tmp", target.file_name().expect("a file").to_string_lossy()));
    fs::write(&unfinished, wasm).expect("a writable folder");
    fs::rename(&unfinished, &target).expect("a writable folder");
}
