"""The guest of the conformance kit, in Python."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from streamtask import Context, Error, Failure, Signal, http, parse, task


@task
def conformance(ctx: Context, input: dict[str, Any]):
    """Does what a case of the conformance kit says."""
    case = CASES.get(input.get("case"))
    if case is None:
        raise Failure(f"there is no case {input.get('case')!r}", code="unknown-case")
    return case(ctx, input)


def echo(ctx: Context, input: dict[str, Any]) -> Any:
    return {"value": input["value"]}


def events(ctx: Context, input: dict[str, Any]) -> Any:
    for event in input["events"]:
        ctx.send(event["type"], event["data"], channel=event.get("channel", ""))
    return {"sent": len(input["events"])}


def send_bytes(ctx: Context, input: dict[str, Any]) -> Any:
    data = bytes(index % 251 for index in range(input["size"]))
    ctx.send_bytes("picture", data, input["content_type"], channel=input["channel"])
    return {"size": len(data)}


def refused(ctx: Context, input: dict[str, Any]) -> Any:
    return refusal(ctx, "run.mine", 1)


def too_large(ctx: Context, input: dict[str, Any]) -> Any:
    return refusal(ctx, "large", "x" * input["size"])


def refusal(ctx: Context, type: str, data: Any) -> Any:
    try:
        ctx.send(type, data)
    except Error as error:
        return {"code": error.code, "message": error.message}
    raise Failure("the host did not refuse it")


def many(ctx: Context, input: dict[str, Any]) -> Any:
    for index in range(input["n"]):
        ctx.send("n", {"i": index})
    return {"sent": input["n"]}


def flush(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.send("before")
    ctx.flush()
    ctx.send("after")
    return {"flushed": True}


def sleep(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.sleep(input["ms"] / 1000)
    return {"slept": True}


def info(ctx: Context, input: dict[str, Any]) -> Any:
    return ctx.info()


def remaining(ctx: Context, input: dict[str, Any]) -> Any:
    left = ctx.remaining()
    return {"remaining_ms": None if left is None else round(left * 1000)}


async def cancel(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.send("waiting", {})
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        ctx.send("noticed", {})
        return {"partial": True}
    raise Failure("nobody cancelled it")


def signal(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.send("waiting", {})
    timeout = input["timeout_ms"]
    got: Signal | None = ctx.receive_signal(input["name"], None if timeout is None else timeout / 1000)
    return {"signal": got}


async def parameter(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.send("waiting", {})
    await ctx.areceive_signal("go")
    return {"value": ctx.parameter(input["name"])}


def checkpoint(ctx: Context, input: dict[str, Any]) -> Any:
    loaded = ctx.load_checkpoint("step")
    if loaded is None:
        ctx.save_checkpoint("step", {"step": 1})
        raise Failure("saved; once more", code="once-more", retryable=True)
    ctx.remove_checkpoint("step")
    return {"loaded": loaded, "after": ctx.load_checkpoint("step")}


def failure(ctx: Context, input: dict[str, Any]) -> Any:
    retry_after = input.get("retry_after_ms")
    raise Failure(
        input["message"],
        code=input.get("code"),
        details=input.get("details"),
        retryable=input.get("retryable", False),
        retry_after=None if retry_after is None else retry_after / 1000,
    )


def exception(ctx: Context, input: dict[str, Any]) -> Any:
    raise RuntimeError("boom")


def log(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.log("to the log ✓", "warn")
    print("to stderr", file=sys.stderr)


def progress(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.progress("half", step=1, total=2)
    ctx.progress(id="import", status="running", total=80, done=20)
    ctx.progress(id="index", parent="import", weight=3, status="waiting")


def view(ctx: Context, input: dict[str, Any]) -> Any:
    ctx.view.start("out")
    ctx.view.text("out", "a<b")
    ctx.view.text("out", "c", mode="prepend")
    ctx.view.html("out", "<p>x</p>")
    ctx.view.insert("out", "<p>y</p>", at="prepend")
    ctx.view.remove("out", "p")
    ctx.view.prune("out", 5, edge="top")
    ctx.view.error("out", "broken")
    ctx.view.done("out")
    ctx.view.state({"n": 1})


def generator(ctx: Context, input: dict[str, Any]) -> Iterator[Any]:
    for n in (1, 2, 3):
        yield {"n": n}


async def async_generator(ctx: Context, input: dict[str, Any]) -> AsyncIterator[Any]:
    for n in (1, 2, 3):
        yield {"n": n}
        await asyncio.sleep(0.01)


@dataclass
class Typed:
    count: int
    name: str = "nobody"


def typed_input(ctx: Context, input: dict[str, Any]) -> Any:
    return parse(Typed, input)


def child(ctx: Context, input: dict[str, Any]) -> Any:
    outcome = ctx.start_child(input["task"], input["input"]).wait()
    assert outcome is not None
    if outcome.status == "failed":
        return {"failed": {"kind": outcome.kind, "message": outcome.message, "code": outcome.code}}
    return {outcome.status: outcome.value}


async def request(ctx: Context, input: dict[str, Any]) -> Any:
    async with http.AsyncClient() as client:
        response = await client.get(input["url"], headers={"X-Kit": "yes"})
    return {"status": response.status_code, "body": response.text}


def draw(ctx: Context, input: dict[str, Any]) -> Any:
    return {"random": random.randrange(2**53)}


def broken_text(ctx: Context, input: dict[str, Any]) -> Any:
    # An emoji without its second half.
    text = "a\ud83cb"
    ctx.send("broken", {"text": text})
    ctx.log(text)
    ctx.progress(text, step=1, total=2)
    return {"text": text}


def panic(ctx: Context, input: dict[str, Any]) -> Any:
    return deeper("boom") + 1


def deeper(message: str) -> int:
    return deep(message) + 1


def deep(message: str) -> int:
    # No such key: what a mistyped name comes to.
    return {"bang": 1}[message]


def unsupported(ctx: Context, input: dict[str, Any]) -> Any:
    raise Failure(f"Python has no {input['case']}", code="unsupported")


def out_of_memory(ctx: Context, input: dict[str, Any]) -> Any:
    kept = []
    while True:
        kept.append(bytearray(b"x" * (1 << 20)))


def endless_loop(ctx: Context, input: dict[str, Any]) -> Any:
    n = 0
    while True:
        n = (n + 1) % 1000


def wrong_type(ctx: Context, input: dict[str, Any]) -> Any:
    return ["not", "an", "object"]


def abort(ctx: Context, input: dict[str, Any]) -> Any:
    os.abort()


def leave(ctx: Context, input: dict[str, Any]) -> Any:
    sys.exit(input["code"])


def denied(ctx: Context, input: dict[str, Any]) -> Any:
    return {"status": http.get(input["url"]).status_code}


def load_missing(ctx: Context, input: dict[str, Any]) -> Any:
    return {"loaded": ctx.load_checkpoint("never-saved")}


CASES = {
    "echo": echo,
    "events": events,
    "bytes": send_bytes,
    "refused": refused,
    "too-large": too_large,
    "many": many,
    "flush": flush,
    "sleep": sleep,
    "info": info,
    "remaining": remaining,
    "cancel": cancel,
    "signal": signal,
    "parameter": parameter,
    "checkpoint": checkpoint,
    "failure": failure,
    "exception": exception,
    "log": log,
    "progress": progress,
    "view": view,
    "generator": generator,
    "async-generator": async_generator,
    "typed-input": typed_input,
    "child": child,
    "http": request,
    "random": draw,
    "broken-text": broken_text,
    "panic": panic,
    "panic-elsewhere": unsupported,
    "out-of-memory": out_of_memory,
    "endless-loop": endless_loop,
    "wrong-type": wrong_type,
    "abort": abort,
    "exit": leave,
    "denied": denied,
    "load-missing": load_missing,
    "load-other": unsupported,
}
