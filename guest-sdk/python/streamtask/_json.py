"""JSON, as it goes to and comes from the host."""

from __future__ import annotations

import codecs
import dataclasses
import datetime
import json
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID


def to_json(value: Any) -> str:
    """The value as JSON. Beside what `json` takes: dataclasses, enums, sets, decimals,
    dates, paths and UUIDs."""
    # Not NaN: no other reader of the log knows it.
    return clean(json.dumps(value, default=_other, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def clean(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which has no form in UTF-8.

    >>> clean("a\\ud83cb") == "a\\ufffdb"
    True
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


BROKEN = "streamtask-broken"
"""What `encode` does with such halves, by its name: the same."""


def _encode_broken(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return clean(error.object[error.start : error.end]).encode(), error.end


codecs.register_error(BROKEN, _encode_broken)


def plain(value: Any) -> Any:
    """The value, made of what JSON itself has."""
    return json.loads(to_json(value))


def _other(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (PurePath, UUID)):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
