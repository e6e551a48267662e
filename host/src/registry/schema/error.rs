/// Why a value is not accepted as a JSON Schema.
#[derive(Debug, thiserror::Error)]
pub(in crate::registry) enum SchemaError {
    /// The library refused it.
    #[error("{0}")]
    Invalid(String),
    /// A reference leads to something that is no part of a schema.
    #[error("{place:?} leads into a value, where no schema can be")]
    IntoValue { place: String },
    /// A pattern is too long, compiled or not.
    #[error("it has a pattern of {bytes} bytes; the limit is {max_bytes}")]
    LongPattern { bytes: usize, max_bytes: usize },
    /// A pattern can't be compiled, or is too large then.
    #[error(
        "the pattern {quoted:?} is not a regular expression (look-around and back-references are not \
         supported), or takes more than {max_kib} KiB when it is compiled"
    )]
    Pattern { quoted: String, max_kib: u32 },
    /// All patterns together are too large.
    #[error("its patterns take more than {max_kib} KiB when they are compiled")]
    Patterns { max_kib: u32 },
    /// Its values took too long to check while it was built.
    #[error("it takes too long to build")]
    TooSlow,
}
