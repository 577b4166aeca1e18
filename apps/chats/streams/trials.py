"""Trial searches, as the web API has them."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from apps.accounts.authentication import principal_of_login_or_key
from apps.chats import api_schema, asks
from apps.chats.wire import trial_to_wire
from apps.core.bodies import read_required
from apps.core.http import success_response
from apps.core.limits import whole
from apps.core.threads import in_database

router = Router(tags=["chunks (web)"], auth=None)


@router.post("/v1/chunk/retrieval_test", summary="Search on trial", openapi_extra=api_schema.TRIAL)
async def retrieval_test(request: HttpRequest) -> HttpResponseBase:
    """Find passages, with a session token or an API token."""
    principal = await in_database(principal_of_login_or_key, request)
    body = read_required(request, ("kb_id", "question"))
    opened = await in_database(asks.open_trial, principal, body)
    return success_response(trial_to_wire(await whole(opened.find())))
