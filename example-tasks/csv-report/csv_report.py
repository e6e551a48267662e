"""Builds a CSV report from rows of JSON: a task without an SDK, against the bare contract.

All imports stand here at the top: the build runs this file once and keeps what it
left in memory. A run has no standard library to import from.
"""

import csv
import io
import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import control, events
from wit_world.imports.types import Error, ErrorCode, Failure

# Written out once, while the component is built.
DESCRIPTION = json.dumps({
    "description": "Builds a CSV report row by row.",
    "input_schema": {
        "type": "object",
        "properties": {
            "rows": {
                "description": "What to report: one object for each row, with a value for each column.",
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "number", "null"]},
                },
                "minItems": 1,
                "examples": [[{"city": "Oslo", "sold": 12}, {"city": "Rome", "sold": 7.50}]],
            },
            "columns": {
                "description": "The columns, in order; every row must have them all. "
                "Left out, each column that occurs, with gaps in the rows that lack it.",
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
            },
            "delay_ms": {
                "description": "How long each row takes.",
                "type": "integer",
                "minimum": 0,
                "maximum": 60_000,
                "default": 100,
            },
        },
        "required": ["rows"],
    },
    "output_schema": {
        "type": "object",
        "properties": {
            "rows": {"type": "integer"},
            "columns": {"type": "array", "items": {"type": "string"}},
            "bytes": {"type": "integer"},
        },
        "required": ["rows", "columns", "bytes"],
    },
})


class WitWorld(wit_world.WitWorld):
    """The exports of the contract."""

    def describe(self) -> str:
        return DESCRIPTION

    def process(self, input: str) -> str:
        # 7.50 stays the text that it is: a report must not round or shorten what it shows.
        order = json.loads(input, parse_float=str)
        # To a schema, 1e2 is an integer too.
        delay_ms = int(float(order.get("delay_ms", 100)))
        try:
            return json.dumps(report(order["rows"], order.get("columns"), delay_ms))
        except Err as error:
            # The imports raise an `Error`, but only a `Failure` may leave here. Any other
            # exception is a bug: it ends the run, with its trace in the log.
            raise Err(as_failure(error.value)) from error


def report(rows: list[dict], columns: list[str] | None, delay_ms: int) -> dict:
    """Sends the report and returns what is worth knowing about it."""
    header = columns or every_column(rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    for step, row in enumerate(rows, start=1):
        # Stands for the real work.
        if not control.sleep_ms(delay_ms):
            raise Err(failure("the run was cancelled", "cancelled"))
        if columns:
            refuse_gaps(step, row, columns)
        writer.writerow(row.get(column) for column in header)
        progress = {"step": step, "total": len(rows), "message": f"row {step} of {len(rows)}"}
        events.send_event("progress", json.dumps(progress))
    data = text.getvalue().encode()
    events.send_bytes("", "report", "text/csv", data)
    return {"rows": len(rows), "columns": header, "bytes": len(data)}


def every_column(rows: list[dict]) -> list[str]:
    """The columns that occur, in the order in which they first do."""
    return list(dict.fromkeys(column for row in rows for column in row))


def refuse_gaps(step: int, row: dict, columns: list[str]) -> None:
    for column in columns:
        if column not in row:
            where = {"row": step, "column": column}
            raise Err(failure(f"row {step} has no {column!r}", "missing-value", where))


def failure(message: str, code: str, details: object = None, retryable: bool = False) -> Failure:
    kept = None if details is None else json.dumps(details)
    return Failure(message, code, kept, retryable, retry_after_ms=None)


def as_failure(value: Error | Failure) -> Failure:
    """A refusal by the host ends the run; what is merely unavailable is worth a retry."""
    if isinstance(value, Failure):
        return value
    code = value.code.name.lower().replace("_", "-")
    return failure(value.message, code, retryable=value.code is ErrorCode.UNAVAILABLE)
