"""One OpenAPI document and its pages: drf-spectacular describes the ordinary half, the streaming half is folded in."""

from __future__ import annotations

from typing import Any

from django.urls import path
from django.views.generic import RedirectView
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularJSONAPIView,
    SpectacularRedocView,
    SpectacularSwaggerView,
)

from apps.chats.api_schema import SHARED
from ragflow.streaming import api

TOKEN = "APIToken"  # noqa: S105 -- the name of the scheme
SESSION = "SessionToken"
SHARE = "ShareToken"
ADMIN_SESSION = "AdminSession"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.accounts.authentication.APITokenAuthentication"
    name = TOKEN

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API token: `ragflow-...`"}


class LoginOrTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The web API takes a session token or an API token."""

    target_class = "apps.accounts.authentication.LoginOrKeyAuthentication"
    name = SESSION

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[str]]]:
        return [{TOKEN: []}, {SESSION: []}]

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "What a login answers in its `Authorization` header, as it is.",
        }


class AdminSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.administration.authentication.AdminSession"
    name = ADMIN_SESSION

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "A session token of an administrator, as it is. API tokens are refused.",
        }


class ShareTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.accounts.authentication.ShareTokenAuthentication"
    name = SHARE

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A share token, which web pages may carry"}


def fold_in_streaming_half(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Merge Ninja's paths and components (a drf-spectacular postprocessing hook).

    Raises ValueError if both halves describe a path with the same method, or a component under the same name.
    """
    streaming = api.get_openapi_schema(path_prefix="")
    for path_, operations in streaming["paths"].items():
        for operation in operations.values():
            if operation.get("security") not in (None, SHARED):
                operation["security"] = [{TOKEN: []}]
        _add(result["paths"].setdefault(path_, {}), operations, path_)
    components = result.setdefault("components", {})
    for kind, named in streaming.get("components", {}).items():
        if kind != "securitySchemes":
            _add(components.setdefault(kind, {}), named, kind)
    return result


def _add(known: dict[str, Any], more: dict[str, Any], place: str) -> None:
    if both := known.keys() & more.keys():
        raise ValueError(f"Both halves of the server describe {', '.join(sorted(both))} of {place}.")
    known |= more


urlpatterns = [
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    path("openapi.json", SpectacularJSONAPIView.as_view()),
    path("docs", RedirectView.as_view(pattern_name="docs")),
    path("redocs", RedirectView.as_view(pattern_name="redoc")),
]
