//! What libFuzzer, which has the `main`, calls.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;
use std::{env, panic, process, slice};

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

// SAFETY: nobody else defines this name, which is libFuzzer's for what is called once
// before all.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerInitialize(_count: *mut c_int, _arguments: *mut *mut *mut c_char) -> c_int {
    let name = env::var("STREAMTASK_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = fuzz_targets::target(&name) else {
        eprintln!("STREAMTASK_FUZZ_TARGET is {name:?}, which is no target");
        process::exit(2);
    };
    TARGET.get_or_init(|| target);
    // Also a panic that something would catch, or that is on another thread, is a fault. libFuzzer keeps the
    // input when the process aborts.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
    0
}

// SAFETY: nobody else defines this name, which is libFuzzer's for what is called with
// each input.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, len: usize) -> c_int {
    // SAFETY: libFuzzer hands over `len` bytes, which stay as they are until this returns. Of no bytes the
    // pointer may be null.
    let data = if len == 0 { &[] } else { unsafe { slice::from_raw_parts(data, len) } };
    TARGET.get().expect("libFuzzer initialises first")(data);
    0
}
