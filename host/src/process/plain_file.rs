//! Opens plain files safely: not pipes, which wait for a writer, nor devices, nor files of the kernel.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fstatfs};

/// File systems with files made by the kernel, by the numbers of statfs(2). Their files give access to processes, to the
/// kernel's settings or to devices.
const KERNELS: [u64; 14] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x1cd1,      // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0xde5e_81e4, // efivarfs
    0x6165_676c, // pstore
    0x6265_6570, // configfs
    0x4249_4e4d, // binfmt_misc
    0x6e73_6673, // nsfs
];
/// The same by the names in /proc/self/mountinfo, and the file system of devices, which is a tmpfs for statfs(2).
const KERNEL_NAMES: [&str; 15] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "debugfs",
    "tracefs",
    "securityfs",
    "cgroup",
    "cgroup2",
    "bpf",
    "efivarfs",
    "pstore",
    "configfs",
    "binfmt_misc",
    "nsfs",
];
/// Their usual places, if mountinfo can't be read.
const USUAL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Opens a plain file for reading. Anything else is an error, without waiting.
pub fn open_plain(path: &Path) -> io::Result<File> {
    // Non-blocking, because opening a pipe would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("this is not a file")) }
}

/// Whether a file or folder is on a file system of the kernel.
pub fn is_kernels(file: impl AsFd) -> bool {
    // The type of the number differs between systems.
    fstatfs(file).is_ok_and(|system| KERNELS.contains(&((system.f_type as u64) & 0xffff_ffff)))
}

/// A file system of the kernel that contains a folder or is mounted below it.
pub fn kernels_in(folder: &Path) -> Option<PathBuf> {
    if File::open(folder).is_ok_and(is_kernels) {
        return Some(folder.to_owned());
    }
    let overlaps = |mount: &Path| mount.starts_with(folder) || folder.starts_with(mount);
    if let Some(usual) = USUAL.map(Path::new).into_iter().find(|usual| overlaps(usual)) {
        return Some(usual.to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(kernels_mount).find(|mount| mount.starts_with(folder))
}

/// The mount point in a line of mountinfo, if it is such a file system.
fn kernels_mount(line: &str) -> Option<PathBuf> {
    let (mount, system) = line.split_once(" - ")?;
    let is_kernels = system.split(' ').next().is_some_and(|name| KERNEL_NAMES.contains(&name));
    let place = mount.split(' ').nth(4).filter(|_| is_kernels)?;
    Some(
        place
            .replace("\\040", " ")
            .replace("\\011", "\t")
            .replace("\\012", "\n")
            .replace("\\134", "\\")
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        fs::write(&file, "x").unwrap();
        assert!(open_plain(&file).is_ok());
        for other in [pipe.as_path(), folder.path(), Path::new("/dev/null")] {
            assert_eq!(open_plain(other).unwrap_err().to_string(), "this is not a file");
        }
    }

    #[test]
    fn files_of_the_kernel_are_known_also_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kernels_in(&fs::canonicalize(folder.path()).unwrap()), None);
        for kernels in ["/proc", "/proc/self", "/sys", "/dev", "/dev/shm", "/"] {
            if let Ok(path) = fs::canonicalize(kernels) {
                assert!(kernels_in(&path).is_some(), "{kernels}");
            }
        }
        assert!(is_kernels(File::open("/proc/self/status").unwrap()));
        assert!(!is_kernels(File::open(folder.path()).unwrap()));
    }

    #[test]
    fn a_mount_of_the_kernel_is_read_from_the_systems_list() {
        let line = "36 35 0:22 / /srv/a\\040b/dev rw,nosuid shared:2 - devtmpfs devtmpfs rw";
        assert_eq!(kernels_mount(line), Some("/srv/a b/dev".into()));
        assert_eq!(kernels_mount("36 35 8:1 / /srv rw - ext4 /dev/sda1 rw"), None);
    }
}
