"""The Langfuse project to which one's answers are reported (`/v1/langfuse/api_key`)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import schemas, selectors
from apps.accounts.langfuse import KeysRefused, LangfuseFailed
from apps.accounts.services.langfuse import project_of, remove_langfuse_keys, set_langfuse_keys
from apps.accounts.views.base import ANSWER, WebViewSet, own_tenant
from apps.accounts.wire import langfuse_to_wire
from apps.core.bodies import read_required
from apps.core.errors import DataError
from apps.core.rest import http_request, web_success
from apps.core.validation import validate

_NOTHING = "Have not record any Langfuse keys."
_REFUSED = "Invalid Langfuse keys loaded"


@extend_schema(tags=["langfuse"])
class LangfuseViewSet(WebViewSet):
    @extend_schema(summary="Set the Langfuse keys of one's tenant", request=schemas.LangfuseData, responses=ANSWER)
    def set(self, request: Request) -> Response:
        """They are tried before they are stored. From then on each answer of a chat is reported there."""
        body = read_required(http_request(request), ("secret_key", "public_key", "host"))
        sent = validate(schemas.LangfuseData, {name: value or "" for name, value in body.items()})
        keys = set_langfuse_keys(tenant=own_tenant(request), data=sent)
        return web_success(langfuse_to_wire(keys, secret_key=sent.secret_key))

    @extend_schema(summary="Show the Langfuse keys, and whose project they are", responses=ANSWER)
    def show(self, request: Request) -> Response:
        tenant = own_tenant(request)
        keys = selectors.langfuse_keys_of(tenant)
        if keys is None:
            return web_success(None, _NOTHING)
        langfuse = selectors.langfuse_of(tenant)
        if langfuse is None:  # they were stored under another secret key of the installation
            raise DataError(_REFUSED)
        try:
            project = project_of(tenant=tenant, langfuse=langfuse)
        except KeysRefused:
            raise DataError(_REFUSED) from None
        except LangfuseFailed as error:
            return web_success(None, f"Error from Langfuse: {error}")
        return web_success(langfuse_to_wire(keys, secret_key=langfuse.secret_key, project=project))

    @extend_schema(summary="Remove the Langfuse keys", responses=ANSWER)
    def delete(self, request: Request) -> Response:
        if not remove_langfuse_keys(tenant=own_tenant(request)):
            return web_success(None, _NOTHING)
        return web_success(data=True)
