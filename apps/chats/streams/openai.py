"""What OpenAI's clients call: completions by assistants, which they know as models, and embeddings.

A failure is answered with our envelope and, beside it, the `error` object that these clients read.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from apps.accounts.authentication import principal_of_request
from apps.chats import api_schema, selectors
from apps.chats.answering import answered
from apps.chats.embeddings import embedded, open_embedding
from apps.chats.encoders import OpenAICompletion
from apps.chats.errors import UnknownModel
from apps.chats.questions import streams, wants_reference
from apps.chats.turns import OpenTurn, open_model_turn, open_openai_turn
from apps.chats.wire import embeddings_to_wire, model_to_wire
from apps.core.bodies import read_required
from apps.core.errors import answer_to
from apps.core.http import json_response
from apps.core.limits import flowing, whole
from apps.core.threads import in_database
from apps.core.wire_profile import profile
from ragflow.engine.errors import ModelError
from ragflow.engine.threads import in_thread

View = Callable[..., Awaitable[HttpResponseBase]]

# Where keys are required the contract looks at them before the credentials, so the views see to both.
router = Router(tags=["openai"], auth=None)

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def told_in_openais_form(view: View) -> View:
    """Answer whatever a view raises with an `error` object too."""

    @functools.wraps(view)
    async def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return await view(request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 -- whatever it is
            return _openai_error(error)

    return answer


def _openai_error(exc: Exception) -> HttpResponse:
    answer = answer_to(exc)
    error = {
        "message": answer.body["message"],
        "type": _ERROR_TYPES.get(answer.status, "server_error" if answer.status >= 500 else "invalid_request_error"),
        "param": None,
        "code": _word_for(exc),
    }
    return json_response({**answer.body, "error": error}, answer.status, answer.headers)


def _word_for(exc: Exception) -> str | None:
    if isinstance(exc, ModelError):
        return exc.code
    return exc.word if isinstance(exc, UnknownModel) else None


# -- completions ---------------------------------------------------------------------------------------------------


@router.post(
    "/api/v1/chats_openai/{chat_id}/chat/completions",
    summary="Ask a chat assistant as OpenAI clients do",
    openapi_extra=api_schema.OPENAI_COMPLETION,
)
@told_in_openais_form
async def complete_openai(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    """Answer the last message. The history is the messages sent along; no session is read or written."""
    return await _complete_chat(request, chat_id)


@router.post(
    "/api/v1/openai/{chat_id}/chat/completions",
    summary="Ask a chat assistant as OpenAI clients do (later spelling)",
    openapi_extra=api_schema.OPENAI_COMPLETION,
)
@told_in_openais_form
async def complete_openai_chat(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    """The same as `chats_openai/{chat_id}/chat/completions`."""
    return await _complete_chat(request, chat_id)


@router.post(
    "/api/v1/openai/chat/completions",
    summary="Ask the chat assistant that `model` names",
    openapi_extra=api_schema.OPENAI_MODEL_COMPLETION,
)
@told_in_openais_form
async def complete_model(request: HttpRequest) -> HttpResponseBase:
    """Answer the last message. `model` is the name or id of an assistant; `stream` is false unless it is given."""
    return await _complete_model(request)


@router.post(
    "/api/v1/chat/completions",
    summary="Ask the chat assistant that `model` names (shorter base URL)",
    openapi_extra=api_schema.OPENAI_MODEL_COMPLETION,
)
@told_in_openais_form
async def complete_model_shortly(request: HttpRequest) -> HttpResponseBase:
    """The same as `openai/chat/completions`."""
    return await _complete_model(request)


async def _complete_chat(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    body = read_required(request, ("model", "messages"))
    principal = await in_database(principal_of_request, request)
    opened = await in_database(open_openai_turn, principal, chat_id, body)
    # In streams the contract names no model, whatever was asked for.
    return await _answer(opened, body, completion_id=chat_id, streamed_model="model")


async def _complete_model(request: HttpRequest) -> HttpResponseBase:
    body = {"stream": False, **read_required(request, ("model", "messages"))}
    principal = await in_database(principal_of_request, request)
    opened = await in_database(open_model_turn, principal, body)
    return await _answer(opened, body, completion_id=opened.message_id.hex, streamed_model=body["model"])


async def _answer(
    opened: OpenTurn, body: Mapping[str, Any], *, completion_id: str, streamed_model: Any
) -> HttpResponseBase:
    completion = OpenAICompletion(
        completion_id=completion_id,
        model=body["model"],
        streamed_model=streamed_model,
        question=opened.turn.question,
        reference=wants_reference(body),
        failure_is_answer=profile().provider_failure_is_answer,
    )
    if streams(body):
        return await flowing(completion.frames(answered(opened)), on_error=completion.failure)
    return json_response(await whole(completion.answer(answered(opened))))


# -- models --------------------------------------------------------------------------------------------------------


@router.get("/api/v1/openai/models", summary="List assistants as models", openapi_extra=api_schema.OPENAI_MODELS)
@told_in_openais_form
async def list_models(request: HttpRequest) -> HttpResponseBase:
    principal = await in_database(principal_of_request, request)
    assistants = await in_database(lambda: list(selectors.assistants_of(principal)))
    return json_response({"object": "list", "data": [model_to_wire(assistant) for assistant in assistants]})


@router.get(
    "/api/v1/openai/models/{model}", summary="Show an assistant as a model", openapi_extra=api_schema.OPENAI_MODELS
)
@told_in_openais_form
async def retrieve_model(request: HttpRequest, model: str) -> HttpResponseBase:
    principal = await in_database(principal_of_request, request)
    assistant = await in_database(selectors.assistant_called, principal, model)
    if assistant is None:
        raise UnknownModel(model)
    return json_response(model_to_wire(assistant))


# -- embeddings ----------------------------------------------------------------------------------------------------


@router.post("/api/v1/openai/embeddings", summary="Embed texts", openapi_extra=api_schema.OPENAI_EMBEDDINGS)
@told_in_openais_form
async def embed(request: HttpRequest) -> HttpResponseBase:
    """Return a unit vector per text, made by an embedding model that the tenant may use."""
    body = read_required(request, ("model", "input"))
    principal = await in_database(principal_of_request, request)
    asked = await in_database(open_embedding, principal, body)
    made = await whole(in_thread(embedded, asked))
    return json_response(embeddings_to_wire(made, model=body["model"], as_base64=asked.as_base64))
