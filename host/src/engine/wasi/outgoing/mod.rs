//! Outgoing requests of guests, as far as they are granted: `wasi:http/outgoing-handler`, and `client` of 0.3.
//!
//! Redirects are not followed: the guest receives them, and its next request is checked like any other.
//!
//! The only folder besides `http/` that names hyper.

mod address;
mod connector;
mod network;
mod plain;
mod requests;
mod response;

pub(in crate::engine) use network::Network;
pub(in crate::engine) use plain::PlainRequest;
pub(in crate::engine) use requests::{Outgoing, http_context};
