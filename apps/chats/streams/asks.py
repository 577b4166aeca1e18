"""Questions to datasets without an assistant."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from apps.chats import api_schema
from apps.chats.answering import answered
from apps.chats.asks import open_ask, open_related
from apps.chats.encoders import Summary
from apps.core.bodies import read_object
from apps.core.http import json_response
from apps.core.limits import flowing, whole
from apps.core.principal import Principal
from apps.core.threads import in_database

router = Router(tags=["sessions"])


@router.post("/api/v1/sessions/ask", summary="Ask datasets", openapi_extra=api_schema.ASK)
async def ask(request: HttpRequest) -> HttpResponseBase:
    """Stream a summary of what datasets hold about a question."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    opened = await in_database(open_ask, principal, read_object(request))
    summary = Summary()
    return await flowing(summary.frames(answered(opened)), on_error=summary.failure)


@router.post("/api/v1/sessions/related_questions", summary="Propose further searches", openapi_extra=api_schema.RELATED)
async def related_questions(request: HttpRequest) -> HttpResponseBase:
    """Name search terms that are related to a question. Empty where no language model can propose any."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    opened = await in_database(open_related, principal, read_object(request))
    return json_response({"code": 0, "data": await whole(opened.terms())})
