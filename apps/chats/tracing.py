"""Reporting finished turns to Langfuse, for tenants that have stored keys of a project there.

A turn becomes one trace with one generation (https://langfuse.com/docs/api, `POST /api/public/ingestion`). It is sent
beside the answer, never before it and never again: a report that cannot be sent is lost, and the log says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.utils import timezone

from apps.accounts.langfuse import Langfuse, LangfuseFailed
from ragflow.engine.types import Answer, Message

if TYPE_CHECKING:
    from apps.chats.turns import OpenTurn

logger = logging.getLogger(__name__)

MOST_UNSENT = 200
MOST_UNSENT_OF_PROJECT = 20  # so that a server that hangs delays nobody else's reports

_unsent: dict[asyncio.Task[None], Langfuse] = {}


def report(opened: OpenTurn, answer: Answer, began: datetime) -> None:
    """Begin to send a finished turn where its tenant wants it, if anywhere. Call it on the event loop."""
    langfuse = opened.langfuse
    if langfuse is None:
        return
    waiting = list(_unsent.values())
    if len(waiting) >= MOST_UNSENT or waiting.count(langfuse) >= MOST_UNSENT_OF_PROJECT:
        logger.warning("A turn was not reported to Langfuse at %s: too many others wait.", langfuse.host)
        return
    task = asyncio.create_task(_send(langfuse, list(_events(opened, answer, began, timezone.now()))))
    _unsent[task] = langfuse
    task.add_done_callback(_unsent.pop)


async def _send(langfuse: Langfuse, events: list[dict[str, Any]]) -> None:
    try:
        await langfuse.ingest(events)
    except LangfuseFailed as error:
        logger.warning("A turn was not reported to Langfuse at %s: %s.", langfuse.host, error)


def _events(opened: OpenTurn, answer: Answer, began: datetime, ended: datetime) -> Iterator[dict[str, Any]]:
    """Yield the events of a turn. One that no model answered has no generation."""
    trace = {
        "id": opened.message_id.hex,
        "timestamp": began.isoformat(),
        "name": "chat" if opened.chat_id else "ask",
        "sessionId": opened.session_id or None,
        "input": opened.turn.question,
        "output": answer.text,
        "metadata": {
            "chat_id": opened.chat_id or None,
            "documents": [document.document_name for document in answer.retrieval.documents],
            "seconds": dict(answer.timings),
        },
    }
    yield _event("trace-create", trace, ended)
    if answer.grounded:
        yield _event("generation-create", _generation(opened, answer, began, ended), ended)


def _generation(opened: OpenTurn, answer: Answer, began: datetime, ended: datetime) -> dict[str, Any]:
    asked = answer.messages or (*opened.turn.history, Message("user", opened.turn.question))
    return {
        "id": uuid4().hex,
        "traceId": opened.message_id.hex,
        "name": "answer",
        "startTime": began.isoformat(),
        "endTime": ended.isoformat(),
        "model": opened.model.name,
        "modelParameters": {
            name: value for name, value in opened.turn.options.items() if isinstance(value, str | int | float)
        },
        "input": [{"role": message.role, "content": message.content} for message in asked],
        "output": answer.text,
        "usage": {
            "input": answer.usage.prompt_tokens,
            "output": answer.usage.completion_tokens,
            "total": answer.usage.total_tokens,
            "unit": "TOKENS",
        },
        "metadata": {"thoughts": answer.thoughts or None, "usage_is_estimated": answer.usage.estimated},
    }


def _event(kind: str, body: dict[str, Any], at: datetime) -> dict[str, Any]:
    return {"id": uuid4().hex, "type": kind, "timestamp": at.isoformat(), "body": body}
