//! Values of statements.

use super::group::Parameter;

/// Values of a statement, in their order.
pub(super) type Parameters = Vec<Parameter>;

/// A list of [`Parameters`] of different types.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as crate::storage::postgres::group::Parameter),*]
    };
}
pub(super) use values;
