//! The macros of `streamtask-sdk`, which re-exports and documents them.

mod json_schema;
mod task;

use proc_macro::TokenStream;

/// Makes a function the task of this crate; see `streamtask_sdk::task`.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(options.into(), item.into()).into()
}

/// Derives the `JsonSchema` of schemars, with all its attributes and those of
/// serde. The crate needs no dependency on schemars for it.
#[proc_macro_derive(JsonSchema, attributes(schemars, serde, validate, garde))]
pub fn json_schema(item: TokenStream) -> TokenStream {
    json_schema::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
