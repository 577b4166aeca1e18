"""Tools that plugins bring for models. No plugins can be installed, so there are none."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.views.base import ANSWER, WebViewSet
from apps.core.rest import web_success


@extend_schema(tags=["models"])
class PluginViewSet(WebViewSet):
    @extend_schema(summary="List the tools of plugins", responses=ANSWER)
    def llm_tools(self, _request: Request) -> Response:
        return web_success([])
