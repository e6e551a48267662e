//! Rust types of the contract, generated from `wit/`.

#![allow(unsafe_code, reason = "wasmtime generates it")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "streamtask:task/task",
    imports: { default: async | trappable },
    exports: { default: async },
});

/// The async world of `wit/async`, an experiment that shares all interfaces.
pub(in crate::engine) mod async_world {
    wasmtime::component::bindgen!({
        path: ["../wit", "../wit/async"],
        world: "streamtask:task-async/async-task",
        imports: { default: async | trappable },
        with: {
            "streamtask:task/types": super::streamtask::task::types,
            "streamtask:task/events": super::streamtask::task::events,
            "streamtask:task/run": super::streamtask::task::run,
            "streamtask:task/control": super::streamtask::task::control,
            "streamtask:task/checkpoints": super::streamtask::task::checkpoints,
            "streamtask:task/children": super::streamtask::task::children,
        },
    });
}
