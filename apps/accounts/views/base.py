"""What all views of the web API (`/v1/...`) share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes

from apps.accounts.authentication import HeaderAuthentication, LoginOrKeyAuthentication
from apps.core.rest import ResourceViewSet

ANSWER = {200: OpenApiTypes.OBJECT}
BODY: Any = {"application/json": {"type": "object"}}


class WebViewSet(ResourceViewSet):
    """Takes a session token or an API token; without either, a person's Django session."""

    authentication_classes: tuple[type[HeaderAuthentication], ...] = (LoginOrKeyAuthentication,)
    errors_have_data = True


class OpenViewSet(ResourceViewSet):
    """Takes no credentials, and looks at none."""

    authentication_classes = ()
    permission_classes = ()
