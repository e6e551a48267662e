//! The contract as Rust types, made from `wit/`.

#![expect(missing_docs, reason = "generated; wit/task.wit has the documentation")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "streamtask:task/task",
    imports: { default: async | trappable },
    exports: { default: async },
});
