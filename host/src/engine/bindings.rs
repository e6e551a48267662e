//! The contract as Rust types, made from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "streamtask:task/task",
    imports: { default: async | trappable },
    exports: { default: async },
});

/// The experiment in `wit/async`, which shares all interfaces.
pub(super) mod async_world {
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
