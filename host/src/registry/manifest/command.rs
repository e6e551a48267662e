//! `[command]`: how an ordinary program is called.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;

/// Longest arguments together, in bytes: those of a command line, not data.
const MAX_ARGUMENT_BYTES: usize = 4 << 10;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "command")]
pub(super) struct CommandTable {
    /// Arguments of the program, without its name.
    #[schemars(with = "Vec<String>")]
    args: Option<Spanned<Vec<String>>>,
}

impl CommandTable {
    pub(super) fn apply(self, arguments: &mut Arc<[String]>) -> Result<(), Fault> {
        let Some(args) = self.args else { return Ok(()) };
        let at = args.span().start;
        let args = args.into_inner();
        if args.iter().any(|arg| arg.contains('\0')) {
            return Err((at, "an argument can't contain a zero byte".to_owned()));
        }
        let bytes: usize = args.iter().map(|arg| arg.len() + 1).sum();
        if bytes > MAX_ARGUMENT_BYTES {
            return Err((at, format!("the arguments have {bytes} bytes; the limit is {MAX_ARGUMENT_BYTES}")));
        }
        *arguments = args.into();
        Ok(())
    }
}
