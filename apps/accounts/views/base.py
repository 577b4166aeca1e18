"""What all views of the web API (`/v1/...`) share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from apps.accounts import selectors
from apps.accounts.authentication import HeaderAuthentication, LoginOrKeyAuthentication
from apps.accounts.models import Tenant
from apps.core.errors import NotFound
from apps.core.rest import ResourceViewSet, caller

ANSWER = {200: OpenApiTypes.OBJECT}
BODY: Any = {"application/json": {"type": "object"}}


def own_tenant(request: Request) -> Tenant:
    """Return the tenant of the caller. Raises NotFound."""
    tenant = selectors.tenant_or_none(caller(request))
    if tenant is None:
        raise NotFound("Tenant not found!")
    return tenant


class WebViewSet(ResourceViewSet):
    """Takes a session token or an API token; without either, a person's Django session."""

    authentication_classes: tuple[type[HeaderAuthentication], ...] = (LoginOrKeyAuthentication,)
    errors_have_data = True


class OpenViewSet(ResourceViewSet):
    """Takes no credentials, and looks at none."""

    authentication_classes = ()
    permission_classes = ()
