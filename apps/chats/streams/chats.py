"""Questions to a chat assistant, within a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from apps.chats import api_schema
from apps.chats.answering import answered
from apps.chats.encoders import PLAIN, RagflowCompletion, greeting, greeting_frames, ragflow_failure
from apps.chats.questions import streams
from apps.chats.turns import Greeting, OpenTurn, open_turn
from apps.core.bodies import read_object
from apps.core.http import json_response
from apps.core.limits import flowing, whole
from apps.core.principal import Principal
from apps.core.sse import sse_response
from apps.core.threads import in_database

router = Router(tags=["chats"])


@router.post("/api/v1/chats/{chat_id}/completions", summary="Ask a chat assistant", openapi_extra=api_schema.COMPLETION)
async def complete(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    """Answer a question within a session. Without `session_id` a session is created, and its opener returned."""
    body = read_object(request)
    principal: Principal = request.auth  # type: ignore[attr-defined]
    return await respond(await in_database(open_turn, principal, chat_id, body), stream=streams(body))


async def respond(
    opened: OpenTurn | Greeting, *, stream: bool, envelope: Mapping[str, Any] = PLAIN
) -> HttpResponseBase:
    """Answer an open turn, or greet where there is none."""
    if isinstance(opened, Greeting):
        data = greeting(session_id=opened.session_id, text=opened.text)
        if stream:
            return await sse_response(greeting_frames(data), on_error=ragflow_failure)
        return json_response({"code": 0, "data": data})
    completion = RagflowCompletion(
        message_id=str(opened.message_id), session_id=opened.session_id, quote=opened.turn.quote, envelope=envelope
    )
    if stream:
        return await flowing(completion.frames(answered(opened)), on_error=completion.failure)
    return json_response(await whole(completion.answer(answered(opened))))
