"""How DRF writes JSON. A module of its own, because DRF imports it while it defines the views that `rest` builds on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django.contrib.auth import get_user
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request

from apps.core.http import dumps


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if renderer_context and renderer_context.get("indent"):  # set by the browsable API
            return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
        return dumps(data) + b"\n"


class BrowsableRenderer(BrowsableAPIRenderer):
    """The API as pages for people who are logged in at the admin pages."""

    def show_form_for_method(self, view: Any, method: str, request: Request, obj: Any) -> bool:
        """No button deletes: it sends no body, and where that names what to delete, everything would go."""
        return method != "DELETE" and bool(super().show_form_for_method(view, method, request, obj))

    def get_context(self, data: Any, accepted_media_type: str | None, renderer_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        return context | {"person": get_user(renderer_context["request"])}  # the request's own user is a Principal


class JSONUnlessAskedOtherwise(DefaultContentNegotiation):
    """Clients of the contract send any `Accept` header and expect JSON; a browser asks for HTML and gets it."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        try:
            return super().select_renderer(request, renderers, format_suffix)  # type: ignore[no-any-return]
        except NotAcceptable:
            return renderers[0], renderers[0].media_type
