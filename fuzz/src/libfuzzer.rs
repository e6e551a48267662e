//! The functions that libFuzzer calls. libFuzzer has the `main`.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;
use std::{env, panic, process, slice};

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

// SAFETY: nothing else defines this name, under which libFuzzer calls a function once at the start.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerInitialize(_count: *mut c_int, _arguments: *mut *mut *mut c_char) -> c_int {
    let name = env::var("STREAMTASK_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = fuzz_targets::target(&name) else {
        eprintln!("STREAMTASK_FUZZ_TARGET is {name:?}, which is not a target");
        process::exit(2);
    };
    TARGET.get_or_init(|| target);
    // Panics that would be caught or are on another thread are bugs, too. libFuzzer stores the
    // input when the process aborts.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
    0
}

// SAFETY: nothing else defines this name, under which libFuzzer calls a function with each input.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, len: usize) -> c_int {
    // SAFETY: libFuzzer passes `len` bytes, which do not change until this returns. The pointer can
    // be null if `len` is 0.
    let data = if len == 0 { &[] } else { unsafe { slice::from_raw_parts(data, len) } };
    TARGET.get().expect("libFuzzer initialises first")(data);
    0
}
