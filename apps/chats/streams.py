"""The endpoints whose answer may flow. Each reads first, then answers as JSON or as a stream, as the client likes."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from apps.accounts.authentication import principal_of_request
from apps.chats import api_schema
from apps.chats.encoders import (
    OpenAICompletion,
    RagflowCompletion,
    greeting,
    greeting_frames,
    ragflow_failure,
)
from apps.chats.questions import streams, wants_reference
from apps.chats.turns import Greeting, answered, open_openai_turn, open_turn
from apps.core.bodies import read_object, require
from apps.core.errors import MalformedBody, answer_to
from apps.core.http import json_response
from apps.core.principal import Principal
from apps.core.sse import in_database, sse_response
from apps.core.wire_profile import profile
from ragflow.engine.errors import ModelError

router = Router(tags=["chats"])


@router.post("/api/v1/chats/{chat_id}/completions", summary="Ask a chat assistant", openapi_extra=api_schema.COMPLETION)
async def complete(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    """Answer a question within a session. Without `session_id` a session is created, and its opener returned."""
    body = read_object(request)
    principal: Principal = request.auth  # type: ignore[attr-defined]
    opened = await in_database(open_turn, principal, chat_id, body)
    if isinstance(opened, Greeting):
        data = greeting(session_id=opened.session_id, text=opened.text)
        if streams(body):
            return await sse_response(greeting_frames(data), on_error=ragflow_failure)
        return json_response({"code": 0, "data": data})
    completion = RagflowCompletion(
        message_id=str(opened.message_id), session_id=opened.session_id, quote=opened.turn.quote
    )
    if streams(body):
        return await sse_response(completion.frames(answered(opened)), on_error=ragflow_failure)
    return json_response(await completion.answer(answered(opened)))


@router.post(
    "/api/v1/chats_openai/{chat_id}/chat/completions",
    auth=None,  # the contract looks at the required keys before the credentials
    summary="Ask a chat assistant as OpenAI clients do",
    openapi_extra=api_schema.OPENAI_COMPLETION,
)
async def complete_openai(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    """Answer the last message. The history is the messages sent along; no session is read or written."""
    try:
        return await _complete_openai(request, chat_id)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told in OpenAI's form too
        return _openai_error(error)


async def _complete_openai(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    body = _readable(request)
    require(body, ("model", "messages"))
    principal = await in_database(principal_of_request, request)
    opened = await in_database(open_openai_turn, principal, chat_id, body)
    completion = OpenAICompletion(
        chat_id=chat_id,
        model=body["model"],
        reference=wants_reference(body),
        failure_is_answer=profile().provider_failure_is_answer,
    )
    if streams(body):
        return await sse_response(completion.frames(answered(opened)), on_error=completion.failure)
    return json_response(await completion.answer(answered(opened)))


def _readable(request: HttpRequest) -> dict[str, Any]:
    """Return the body; one that cannot be read lacks the required keys, which is what the client is told."""
    try:
        return read_object(request)
    except MalformedBody:
        return {}


_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def _openai_error(exc: Exception) -> HttpResponse:
    """Answer any exception with our envelope and, beside it, the `error` object that OpenAI's clients read."""
    answer = answer_to(exc)
    error = {
        "message": answer.body["message"],
        "type": _ERROR_TYPES.get(answer.status, "server_error" if answer.status >= 500 else "invalid_request_error"),
        "param": None,
        "code": exc.code if isinstance(exc, ModelError) else None,
    }
    return json_response({**answer.body, "error": error}, answer.status, answer.headers)
