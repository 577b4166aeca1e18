"""What web pages embed: chats and searches, for visitors who carry a share token.

Where the contract declares required keys, these are looked at before the credentials, so the views see to both.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from apps.accounts.authentication import principal_of_share_request
from apps.chats import api_schema, asks
from apps.chats.answering import answered
from apps.chats.encoders import WITH_MESSAGE, Summary
from apps.chats.questions import streams
from apps.chats.streams.chats import respond
from apps.chats.turns import open_embedded_turn
from apps.chats.wire import mind_map_to_wire, trial_to_wire
from apps.core.bodies import read_object, read_required
from apps.core.errors import RagflowError
from apps.core.http import success_response
from apps.core.limits import flowing, whole
from apps.core.sse import sse_response
from apps.core.threads import in_database
from ragflow.engine.errors import EngineError

router = Router(tags=["embedding"], auth=None)


@router.post(
    "/api/v1/chatbots/{chat_id}/completions", summary="Ask an embedded chat", openapi_extra=api_schema.PAGE_COMPLETION
)
async def complete(request: HttpRequest, chat_id: str) -> HttpResponseBase:
    """Answer a question within a session. Without `session_id` a session is created, and its opener returned."""
    body = read_object(request)
    principal = await in_database(principal_of_share_request, request)
    opened = await in_database(open_embedded_turn, principal, chat_id, body)
    return await respond(opened, stream=streams(body), envelope=WITH_MESSAGE)


@router.post("/api/v1/searchbots/ask", summary="Ask an embedded search", openapi_extra=api_schema.PAGE_ASK)
async def ask(request: HttpRequest) -> HttpResponseBase:
    """Stream a summary of what datasets hold about a question. What is wrong with the request is told in the stream."""
    body = read_required(request, ("question", "kb_ids"))
    principal = await in_database(principal_of_share_request, request)
    summary = Summary()
    try:
        opened = await in_database(asks.open_page_ask, principal, body)
    except (RagflowError, EngineError) as error:
        return await sse_response(summary.failed(error), on_error=summary.failure)
    return await flowing(summary.frames(answered(opened)), on_error=summary.failure)


@router.post(
    "/api/v1/searchbots/retrieval_test", summary="Search for an embedded search", openapi_extra=api_schema.PAGE_TRIAL
)
async def retrieval_test(request: HttpRequest) -> HttpResponseBase:
    """Find passages."""
    body = read_required(request, ("kb_id", "question"))
    principal = await in_database(principal_of_share_request, request)
    opened = await in_database(asks.open_page_trial, principal, body)
    return success_response(trial_to_wire(await whole(opened.find())))


@router.post(
    "/api/v1/searchbots/related_questions",
    summary="Propose further questions on a page",
    openapi_extra=api_schema.PAGE_RELATED,
)
async def related_questions(request: HttpRequest) -> HttpResponseBase:
    """Name questions that are related to one. Empty where no language model can propose any."""
    body = read_required(request, ("question",))
    principal = await in_database(principal_of_share_request, request)
    opened = await in_database(asks.open_page_related, principal, body)
    return success_response(await whole(opened.questions()))


@router.post(
    "/api/v1/searchbots/mindmap", summary="Draw a mind map for a page", openapi_extra=api_schema.PAGE_ASK_WHOLE
)
async def mindmap(request: HttpRequest) -> HttpResponseBase:
    """Lay out what datasets hold about a question. Without a language model: documents and their headings."""
    body = read_required(request, ("question", "kb_ids"))
    principal = await in_database(principal_of_share_request, request)
    opened = await in_database(asks.open_page_mind_map, principal, body)
    return success_response(mind_map_to_wire(await whole(opened.draw())))
