"""Conversion of values to the JSON that the host receives."""

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
    """The value as JSON. In addition to the types that `json` supports: dataclasses, enums,
    sets, decimals, dates, paths and UUIDs."""
    # NaN is not valid JSON.
    return clean(json.dumps(value, default=_other, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def clean(text: str) -> str:
    """Replaces each lone surrogate, which UTF-8 can't encode, with U+FFFD.

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
"""The name of an error handler for `encode` that does the same."""


def _encode_broken(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return clean(error.object[error.start : error.end]).encode(), error.end


codecs.register_error(BROKEN, _encode_broken)


def plain(value: Any) -> Any:
    """The value converted to JSON types."""
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
    raise TypeError(f"a {type(value).__name__} can't be encoded as JSON")
