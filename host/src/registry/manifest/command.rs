//! `[command]`: how to call an ordinary program, and how its output gives the result.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::engine::{CommandSettings, ResultSource, StdinSource};

/// Longest arguments together, in bytes: those of a command line, not data.
const MAX_ARGUMENT_BYTES: usize = 4 << 10;
/// Longest name of a media type.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "command")]
pub(super) struct CommandTable {
    /// Arguments of the program, without its name. `{/pointer}` is replaced by that part of the input (a JSON Pointer):
    /// a list gives several arguments, a missing part none. `{{/` is a literal `{/`.
    #[schemars(with = "Vec<String>")]
    args: Option<Spanned<Vec<String>>>,
    /// Standard input: `json` (the input as a line of JSON, then responses to its calls; the default), `raw` (the input,
    /// a text as it is), `none`, or a part of the input (a JSON Pointer).
    #[schemars(with = "String")]
    stdin: Option<Spanned<String>>,
    /// How standard output gives the result: `lines` (each line is an event, and one may be the result; the default), or
    /// `text`, `json` or `bytes` (the whole output is the result).
    result: Option<ResultKind>,
    /// Media type of a result of `bytes`.
    #[schemars(with = "String")]
    content_type: Option<Spanned<String>>,
    /// Exit codes that mean success; 0 by default.
    #[schemars(with = "Vec<u8>")]
    success_codes: Option<Spanned<Vec<u8>>>,
    /// Whether it gets the variables `STREAMTASK_…` with facts about the run; true by default.
    inherit_run: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum ResultKind {
    Lines,
    Text,
    Json,
    Bytes,
}

impl CommandTable {
    pub(super) fn apply(self, command: &mut Arc<CommandSettings>) -> Result<(), Fault> {
        let mut settings = CommandSettings::clone(command);
        if let Some(args) = self.args {
            settings.arguments = checked_arguments(args)?;
        }
        if let Some(stdin) = self.stdin {
            let at = stdin.span().start;
            settings.stdin = match stdin.get_ref().as_str() {
                "json" => StdinSource::Json,
                "raw" => StdinSource::Raw,
                "none" => StdinSource::None,
                pointer if pointer.starts_with('/') => StdinSource::Part(pointer.to_owned()),
                _ => {
                    let message =
                        "stdin is `json`, `raw`, `none`, or a JSON Pointer, such as `/text`".to_owned();
                    return Err((at, message));
                }
            };
        }
        settings.result = match (self.result, self.content_type) {
            (Some(ResultKind::Bytes), content_type) => ResultSource::Bytes(checked_type(content_type)?),
            (_, Some(content_type)) => {
                return Err((
                    content_type.span().start,
                    "content-type is for `result = \"bytes\"`".to_owned(),
                ));
            }
            (None, None) => settings.result,
            (Some(ResultKind::Lines), None) => ResultSource::Lines,
            (Some(ResultKind::Text), None) => ResultSource::Text,
            (Some(ResultKind::Json), None) => ResultSource::Json,
        };
        if let Some(codes) = self.success_codes {
            if codes.get_ref().is_empty() {
                return Err((codes.span().start, "without a success code every run would fail".to_owned()));
            }
            settings.success_codes = codes.into_inner();
        }
        settings.has_run_variables = self.inherit_run.unwrap_or(settings.has_run_variables);
        *command = Arc::new(settings);
        Ok(())
    }
}

fn checked_arguments(args: Spanned<Vec<String>>) -> Result<Vec<String>, Fault> {
    let at = args.span().start;
    let args = args.into_inner();
    if args.iter().any(|arg| arg.contains('\0')) {
        return Err((at, "an argument can't contain a zero byte".to_owned()));
    }
    let bytes: usize = args.iter().map(|arg| arg.len() + 1).sum();
    if bytes > MAX_ARGUMENT_BYTES {
        return Err((at, format!("the arguments have {bytes} bytes; the limit is {MAX_ARGUMENT_BYTES}")));
    }
    Ok(args)
}

fn checked_type(content_type: Option<Spanned<String>>) -> Result<String, Fault> {
    let Some(content_type) = content_type else { return Ok("application/octet-stream".to_owned()) };
    let at = content_type.span().start;
    let content_type = content_type.into_inner();
    let plain = content_type.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if plain && content_type.contains('/') && content_type.len() <= MAX_CONTENT_TYPE_BYTES {
        return Ok(content_type);
    }
    Err((at, "a content type is a media type, such as `image/png`".to_owned()))
}
