//! The `streamtask` binary. All code is in the library.

use streamtask_host::cli;

fn main() -> cli::Exit {
    cli::run()
}
