//! A limit of the work of one check. Schemas come from guests, and ten lines of one can require 2^100 steps: each of its
//! parts refers to the next one twice.
//!
//! The library has no such limit. So each part of a schema gets an additional condition that is always met, takes one step
//! off the budget, and unwinds the whole check when the budget is used up. It is first in `allOf`: keywords before that only
//! lead to other values of the input, up to the first mismatch, so their work is bounded by the input. A step that takes
//! longer counts for more than one ([`Weight`]).

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use jsonschema::{Keyword, ValidationError};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use super::error::SchemaError;
use super::patterns::Patterns;
use super::weight::Weight;

/// Most steps of one check: a few for each value of the largest input. About 0.3 s.
pub(super) const LOOKS: usize = 2_000_000;
/// The same if each step may produce a reason of about 400 bytes.
pub(super) const LOOKS_FOR_REASONS: usize = 200_000;
/// Most steps of a check on a shared thread. Less than a millisecond.
pub(super) const BRIEF_LOOKS: usize = 5_000;
/// Keyword of the condition; of no use to authors of schemas.
pub(super) const KEYWORD: &str = "x-streamtask-look";

/// Keywords with a schema under each name, which the author chooses.
const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
/// Keywords with values, where a condition would be an additional member.
const VALUES: [&str; 6] = ["const", "enum", "default", "examples", "dependentRequired", "$vocabulary"];
/// Keywords that may take long and are evaluated before `allOf`. They are moved behind the condition, or a value that they
/// reject would cost nothing.
const LEAVES: [&str; 9] = [
    "const",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "format",
    "uniqueItems",
    "required",
    "dependentRequired",
];
/// The same of those that depend on one another, where there are patterns among them.
const GROUP: [&str; 3] = [PATTERNS, "properties", "additionalProperties"];
const PATTERNS: &str = "patternProperties";
/// Where both are then.
const BEHIND: &str = "/allOf/0/allOf/1";
/// Keyword of the conditions that must all be met.
const ALL_OF: &str = "allOf";
/// Characters to escape in a reference (RFC 3986, section 3.5).
const NOT_IN_FRAGMENTS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// Keywords that lead to another part by its place.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Panic payload of a check that has used up its budget.
pub(super) struct TooLong;

/// Runs one check with a budget of its own.
pub(super) fn within<T>(looks: usize, check: impl FnOnce() -> T) -> Result<T, TooLong> {
    LEFT.set(looks);
    // A check has no state that could be left inconsistent.
    panic::catch_unwind(AssertUnwindSafe(check))
        .or_else(|payload| if payload.is::<TooLong>() { Err(TooLong) } else { panic::resume_unwind(payload) })
}

/// Adds the condition to every part. Fails if a reference leads to no part, or if patterns are too large.
/// Also returns the weight of all patterns.
pub(super) fn arm(schema: &Value) -> Result<(Value, usize), SchemaError> {
    let (mut armed, mut patterns) = (schema.clone(), Patterns::default());
    arm_part(&mut armed, false, &mut patterns, schema)?;
    Ok((armed, patterns.total_kib()))
}

fn arm_part(
    part: &mut Value,
    is_map: bool,
    patterns: &mut Patterns,
    root: &Value,
) -> Result<(), SchemaError> {
    match part {
        Value::Object(members) => {
            let weight = if is_map { None } else { Some(Weight::of(members, patterns)?) };
            for (name, member) in members.iter_mut() {
                let name = name.as_str();
                if is_map {
                    arm_part(member, false, patterns, root)?;
                } else if let (true, Value::String(place)) = (REFERENCES.contains(&name), &mut *member) {
                    *place = moved(place, root)?;
                } else if !VALUES.contains(&name) {
                    arm_part(member, MAPS.contains(&name), patterns, root)?;
                }
            }
            if let Some(weight) = weight {
                add_condition(members, weight);
            }
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| arm_part(item, false, patterns, root))?,
        _ => {}
    }
    Ok(())
}

fn add_condition(members: &mut Map<String, Value>, weight: Weight) {
    let mut behind = Map::new();
    let group = if members.contains_key(PATTERNS) { &GROUP[..] } else { &[] };
    for name in LEAVES.iter().chain(group) {
        if let Some(member) = members.remove(*name) {
            behind.insert((*name).to_owned(), member);
        }
    }
    let look = serde_json::json!({ KEYWORD: weight.to_value() });
    let condition = match behind.is_empty() {
        true => look,
        false => serde_json::json!({ ALL_OF: [look, behind] }),
    };
    match members.get_mut(ALL_OF) {
        None => drop(members.insert(ALL_OF.to_owned(), Value::Array(vec![condition]))),
        Some(Value::Array(conditions)) => conditions.insert(0, condition),
        // Not a schema; building it reports the error.
        Some(_) => {}
    }
}

/// Target of a reference after the change. Not into a value: that is no part of a schema, and a reference could make it one.
fn moved(place: &str, root: &Value) -> Result<String, SchemaError> {
    let Some((document, pointer)) = place.split_once('#') else { return Ok(place.to_owned()) };
    let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
    let (mut moved, mut is_map, mut before) = (format!("{document}#"), false, "");
    let mut part = document.is_empty().then_some(root);
    for (nth, name) in pointer.split('/').enumerate() {
        if nth > 0 && !is_map && VALUES.contains(&name) {
            return Err(SchemaError::IntoValue { place: place.to_owned() });
        }
        let slash = if nth == 0 { "" } else { "/" };
        let is_behind = |part: &Value| !is_map && GROUP.contains(&name) && part.get(PATTERNS).is_some();
        if nth > 0 && part.is_some_and(is_behind) {
            moved.push_str(BEHIND);
        }
        part = if nth == 0 { part } else { part.and_then(|part| step(part, name)) };
        match name.parse::<usize>() {
            Ok(index) if before == ALL_OF => moved.push_str(&format!("{slash}{}", index.saturating_add(1))),
            _ => moved.push_str(&format!("{slash}{}", utf8_percent_encode(name, NOT_IN_FRAGMENTS))),
        }
        // Under a name that the author chose, `allOf` is just a name.
        before = if is_map { "" } else { name };
        is_map = nth > 0 && !is_map && MAPS.contains(&name);
    }
    Ok(moved)
}

/// Where a name of a pointer leads.
fn step<'a>(part: &'a Value, name: &str) -> Option<&'a Value> {
    match part {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => part.get(name.replace("~1", "/").replace("~0", "~")),
    }
}

/// The condition: takes its steps off the budget.
pub(super) struct Look(Weight);

impl Look {
    /// For the library's options.
    pub(super) fn keyword<'a>(
        _: &'a Map<String, Value>,
        weight: &'a Value,
        _: jsonschema::paths::Location,
    ) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
        // The author of a schema may write this keyword: that costs one more step.
        Ok(Box::new(Self(Weight::from_value(weight).unwrap_or_default())))
    }

    fn take(&self, value: &Value) {
        match LEFT.get().checked_sub(self.0.cost(value)) {
            Some(left) => LEFT.set(left),
            // Not `panic!`: this is no fault of the host, and must not be logged.
            None => panic::resume_unwind(Box::new(TooLong)),
        }
    }
}

impl<'i> Keyword<'i> for Look {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.take(value);
        Ok(())
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.take(value);
        true
    }
}
