"""Starts runs, exactly once."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, cast

from ._address import Address
from ._errors import may_pass, retry_after
from ._info import RunInfo
from ._pauses import RETRY, Waiting, backoff

# Most repetitions of a start without a response.
_START_RETRIES = 4

IfBusy = Literal["wait", "fail"]
OnDisconnect = Literal["continue", "cancel"]


def launch(
    address: Address,
    path: str,
    input: Any,
    *,
    id: str | None,
    labels: Mapping[str, str] | None,
    idempotency_key: str | None,
    not_before: datetime | str | None,
    delay: str | None,
    priority: int | None,
    resources: Iterable[str] | None,
    if_busy: IfBusy | None,
    on_disconnect: OnDisconnect | None,
) -> RunInfo:
    """Starts a run. Repeats the request if it gets no response, without starting a second run."""
    # Without a key, a start whose response was lost could not be repeated.
    key = idempotency_key or (None if id else secrets.token_hex(16))
    query = {
        "id": id,
        "label": [f"{name}:{value}" for name, value in (labels or {}).items()],
        "not_before": not_before.isoformat() if isinstance(not_before, datetime) else not_before,
        "delay": delay,
        "priority": priority,
        # A repeated request must be identical.
        "resource": None if resources is None else list(resources),
        "if_busy": if_busy,
        "on_disconnect": on_disconnect,
    }
    headers = {"idempotency-key": key} if key else None
    failures = 0
    while True:
        try:
            return cast(RunInfo, address.request("POST", path, query=query, body=input, headers=headers))
        except Exception as error:
            if failures >= _START_RETRIES or not may_pass(error):
                raise
            wait = backoff(failures, RETRY, retry_after(error))
        failures += 1
        Waiting().pause(wait)
