//! Classifies errors of the operating system.

use std::io;

use rustix::io::Errno;

/// Whether an error means that the system is out of a resource for now.
pub(in crate::engine) fn is_scarce(error: &io::Error) -> bool {
    let scarce = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| scarce.contains(&error))
}

/// Whether an error of wasmtime, or its cause, means that the system is out of a resource for now.
pub(in crate::engine) fn is_scarcity(error: &wasmtime::Error) -> bool {
    is_of_system(error, is_scarce)
}

/// Whether the system forbids the operation: for example, executing code from a file.
pub(in crate::engine) fn is_forbidden(error: &wasmtime::Error) -> bool {
    is_of_system(error, |error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn is_of_system(error: &wasmtime::Error, which: impl Fn(&io::Error) -> bool) -> bool {
    error.chain().any(|cause| {
        let errno = cause.downcast_ref::<Errno>().map(|errno| io::Error::from(*errno));
        errno.as_ref().or_else(|| cause.downcast_ref()).is_some_and(&which)
    })
}
