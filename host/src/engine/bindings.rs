//! The contract as Rust types, made from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "streamtask:task/task",
    imports: { default: async | trappable },
    exports: { default: async },
});
