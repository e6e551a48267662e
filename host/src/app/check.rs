//! Files that are meant for a tasks folder, looked at without a host.

use std::path::Path;

use crate::registry;

/// Says what a file is that a host would take. An error is one line: what is wrong,
/// and where.
pub fn check(path: &Path) -> Result<&'static str, String> {
    let name = path.display().to_string();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("can't read {name}: {error}"))?;
            let folder = path.parent().unwrap_or(Path::new("."));
            registry::check_manifest(&name, &text, folder).map_err(|error| error.to_string())?;
            Ok("a manifest")
        }
        _ => Err(format!("{name} is no manifest: its name does not end with .toml")),
    }
}

/// The JSON Schema of manifests.
pub fn manifest_schema() -> String {
    registry::manifest_schema()
}
