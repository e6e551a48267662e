//! Compiles and links the files of one world: the synchronous one or the async one.

use wasmtime::component::{Component, Linker};

use super::cache::CodeCache;
use super::compile::Compiler;
use super::pool::{Addresses, World};
use crate::engine::async_world;
use crate::engine::attempt::EntryPoint;
use crate::engine::config::Config;
use crate::engine::guest::{Guest, imports};
use crate::engine::load_error::LoadError;
use crate::engine::metadata::Kind;

/// The package of the contract.
const CONTRACT_NAME: &str = "streamtask:task";
/// Its newest version that this host supports.
const CONTRACT: &str = "streamtask:task@1.0.0";

/// Compiles and links the files of one world.
pub(in crate::engine) struct Loader {
    pub(in crate::engine) wasmtime: wasmtime::Engine,
    linker: Linker<Guest>,
    pub(super) code: CodeCache,
}

impl Loader {
    pub(in crate::engine) fn new(
        world: World,
        wasmtime: wasmtime::Engine,
        addresses: Addresses,
        config: &Config,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&wasmtime);
        match world {
            World::Sync => imports::link(&mut linker)?,
            World::Async => async_world::link(&mut linker)?,
        }
        let compiler = match config.compiler.clone() {
            Some(program) => Compiler::Process(program, world, addresses, config.compile_limits),
            None => Compiler::Here,
        };
        let code = CodeCache::new(config.cache.clone(), &wasmtime, compiler);
        Ok(Self { wasmtime, linker, code })
    }

    /// Links a component. Also returns whether it exports `describe`.
    pub(super) fn link(&self, component: &Component) -> Result<(EntryPoint, bool), LoadError> {
        if let Some(found) = self.other_contract(component) {
            return Err(LoadError::OtherContract { found, ours: CONTRACT });
        }
        let Some(kind) = Kind::of(component, &self.wasmtime) else {
            return Err(LoadError::NoProcess(self.explain_missing_process(component)));
        };
        let pre = self.linker.instantiate_pre(component);
        let pre = pre.map_err(|error| LoadError::MissingImport(format!("{error:#}")))?;
        let entry = EntryPoint::of_component(pre, kind);
        let entry = entry.map_err(|error| LoadError::NoProcess(format!(": {error:#}")))?;
        let is_task = matches!(kind, Kind::Task | Kind::AsyncTask);
        Ok((entry, is_task && component.get_export(None, "describe").is_some()))
    }

    /// The contract that a component imports, if it is not a supported one.
    fn other_contract(&self, component: &Component) -> Option<String> {
        let ty = component.component_type();
        let mut names = ty.imports(&self.wasmtime).map(|(name, _)| name.to_owned());
        names.find_map(|name| {
            let (interface, version) =
                name.strip_prefix(CONTRACT_NAME)?.strip_prefix('/')?.split_once('@')?;
            let is_supported = version.starts_with("1.") && !interface.is_empty();
            (!is_supported).then(|| format!("{CONTRACT_NAME}@{version}"))
        })
    }

    /// Recognises files that are often confused with tasks.
    fn explain_missing_process(&self, component: &Component) -> String {
        let ty = component.component_type();
        let exports: Vec<String> = ty.exports(&self.wasmtime).map(|(name, _)| name.to_owned()).collect();
        let has = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
        if has("wasi:cli/run@") {
            "; it is a program for another version of WASI: build it for 0.2".to_owned()
        } else if has("wasi:http/incoming-handler@") || has("wasi:http/handler@") {
            "; it is an HTTP handler (wasi:http/proxy)".to_owned()
        } else if exports.is_empty() {
            "; it exports nothing".to_owned()
        } else {
            format!("; it exports {}", exports.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_contract_is_that_of_the_wit_file() {
        let wit = include_str!("../../../../wit/task.wit");
        assert!(wit.contains(&format!("\npackage {CONTRACT};\n")), "the version of wit/task.wit");
    }
}
