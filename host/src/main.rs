//! The `streamtask` binary; all it does is in the library.

use streamtask_host::cli;

fn main() -> cli::Exit {
    cli::run()
}
