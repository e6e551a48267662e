"""Builds a CSV report from rows of JSON."""

import csv
import io
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from streamtask import Context, Failure, Schema, task

# Not a float: 7.50 stays 7.50, because a report must not round or shorten numbers.
Row = dict[str, str | Decimal | None]

EXAMPLE = [{"city": "Oslo", "sold": 12}, {"city": "Rome", "sold": 7.50}]


@dataclass
class Report:
    rows: int
    columns: list[str]
    bytes: int


@task
def csv_report(
    ctx: Context,
    rows: Annotated[
        list[Row],
        "What to report: one object for each row, with a value for each column.",
        Schema(minItems=1, examples=[EXAMPLE]),
    ],
    columns: Annotated[
        list[str] | None,
        "The columns, in order; every row must have them all. "
        "Left out, each column that occurs, with gaps in the rows that lack it.",
        Schema(minItems=1),
    ] = None,
    delay_ms: Annotated[int, "How long each row takes.", Schema(minimum=0, maximum=60_000)] = 100,
) -> Report:
    """Builds a CSV report row by row."""
    header = columns or every_column(rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    for step, row in enumerate(rows, start=1):
        # Simulates the real work. Ends the task if the run is cancelled.
        ctx.sleep(delay_ms / 1000)
        if columns:
            refuse_gaps(step, row, columns)
        writer.writerow(row.get(column) for column in header)
        ctx.progress(f"row {step} of {len(rows)}", step=step, total=len(rows))
    data = text.getvalue().encode()
    ctx.send_bytes("report", data, "text/csv")
    return Report(len(rows), header, len(data))


def every_column(rows: list[Row]) -> list[str]:
    """All columns, in the order of their first occurrence."""
    return list(dict.fromkeys(column for row in rows for column in row))


def refuse_gaps(step: int, row: Row, columns: list[str]) -> None:
    for column in columns:
        if column not in row:
            where = {"row": step, "column": column}
            raise Failure(f"row {step} has no {column!r}", code="missing-value", details=where)
