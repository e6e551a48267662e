//! Compiled code in memory, and how it is loaded.

#![allow(unsafe_code, reason = "machine code that this host has compiled is mapped")]

use std::path::Path;

use wasmtime::Module;
use wasmtime::component::Component;

use super::core_module;

/// Compiled code, ready to be linked.
#[derive(Clone)]
pub(in crate::engine) enum Code {
    Component(Component),
    /// A program for WASI preview 1.
    Module(Module),
}

/// The kind of code that a file is compiled to. wasmtime can't load one kind as the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Form {
    Component,
    Module,
}

impl Form {
    pub(in crate::engine) fn of(wasm: &[u8]) -> Self {
        if core_module::is_program(wasm) { Self::Module } else { Self::Component }
    }

    /// Loads code from memory.
    ///
    /// # Safety
    ///
    /// `code` was compiled by this engine, or one of the same configuration, from a file of this form.
    pub(in crate::engine) unsafe fn load(
        self,
        engine: &wasmtime::Engine,
        code: &[u8],
    ) -> wasmtime::Result<Code> {
        match self {
            Self::Component => unsafe { Component::deserialize(engine, code) }.map(Code::Component),
            Self::Module => unsafe { Module::deserialize(engine, code) }.map(Code::Module),
        }
    }

    /// Maps code from a file.
    ///
    /// # Safety
    ///
    /// As for [`load`](Self::load); and the file is never modified.
    pub(super) unsafe fn map(self, engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Code> {
        match self {
            Self::Component => unsafe { Component::deserialize_file(engine, path) }.map(Code::Component),
            Self::Module => unsafe { Module::deserialize_file(engine, path) }.map(Code::Module),
        }
    }
}
