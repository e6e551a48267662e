"""Streams the answer of a language model, token by token."""

import json
import os
from dataclasses import dataclass
from typing import Annotated, Literal

from streamtask import Cancelled, Context, Failure, Schema, http, task


@dataclass
class Message:
    content: str
    role: Literal["system", "user", "assistant"] = "user"


@dataclass
class Answer:
    text: str
    finish_reason: str | None


@task
async def chat(
    ctx: Context,
    messages: Annotated[list[Message], "What was said so far.", Schema(minItems=1)],
    model: Annotated[str, "The model, by the server's name for it."] = "gpt-4o-mini",
    base_url: Annotated[
        str, "A server that speaks OpenAI's protocol; the manifest has to grant it."
    ] = "https://api.openai.com/v1",
    target: Annotated[str, "Where in a page the answer goes: `data-stream`."] = "answer",
) -> Answer:
    """Streams the answer of a language model: each token as a `token` event, and as an update of a web page."""
    # Read here, not at module level, where it would be the environment of the build.
    key = os.environ.get("OPENAI_API_KEY")
    client = http.AsyncClient(
        base_url=base_url, headers={"Authorization": f"Bearer {key}"} if key else None, timeout=60
    )
    answer = Answer("", None)
    request = {"model": model, "messages": messages, "stream": True}
    ctx.view.start(target)
    try:
        async with client.stream("POST", "/chat/completions", json=request) as response:
            await refuse_errors(response)
            async for event in response.aiter_sse():
                if event.data == "[DONE]":
                    break
                add(ctx, target, answer, event.json())
    except Cancelled:
        # Keep the partial answer.
        answer.finish_reason = "cancelled"
    except (Failure, http.HTTPError) as error:
        ctx.view.error(target, "no answer" if not answer.text else "the answer broke off")
        raise error
    ctx.view.done(target)
    return answer


def add(ctx: Context, target: str, answer: Answer, part: dict) -> None:
    # The last part of some servers has no choices, only the usage.
    for choice in part.get("choices", [])[:1]:
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        if token := choice.get("delta", {}).get("content"):
            answer.text += token
            ctx.send("token", {"text": token})
            # As plain text, because HTML from a model is not trustworthy.
            ctx.view.text(target, token)


async def refuse_errors(response: http.Response) -> None:
    if response.is_success:
        return
    body = (await response.aread()).decode("utf-8", "replace")
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body[:200]
    status = response.status_code
    wait = response.headers.get("retry-after", "")
    raise Failure(
        f"the server refuses: {message}",
        code="rate-limited" if status == 429 else "refused",
        details={"status": status},
        retryable=status == 429 or status >= 500,
        retry_after=int(wait) if wait.isdecimal() and (status == 429 or status >= 500) else None,
    )
