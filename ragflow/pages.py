"""What is not the API of an app: the start page, static files, and whether the server is well."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.views import serve
from django.core.exceptions import SuspiciousFileOperation
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.accounts.errors import login_failure
from apps.accounts.language_models import registry
from apps.core.http import json_response
from apps.core.rest import ResourceViewSet
from ragflow import health

STATIC_SECONDS = 3600  # names carry no hash, so a new release shows within the hour


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Say what runs here and where to go next; after a failed login through an identity provider, why it failed."""
    context: dict[str, Any] = {"facts": _facts(), "origin": f"{request.scheme}://{request.get_host()}"}
    if reason := request.GET.get("error"):
        context["failure"] = login_failure(reason)
    return render(request, "home.html", context)


def _facts() -> dict[str, str]:
    models = registry()
    return {
        "Version": str(settings.SPECTACULAR_SETTINGS["VERSION"]),
        "Wire profile": settings.WIRE_PROFILE,
        "Chat model": models.default_chat_name,
        "Embedding model": models.default_embedding_name,
        "Rerank model": models.default_rerank_name or "none",
        "Database": connection.display_name,
        "Search index": "Elasticsearch" if settings.ELASTICSEARCH_URL else "embedded",
        "Files": "S3" if settings.STORAGE_URL.startswith("s3:") else "local folder",
        "Message broker": "Redis" if settings.REDIS_URL else "the database",
    }


@require_safe
def static_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve a file of an installed app's `static` folder, found by Django's finders: nothing has to be collected."""
    try:
        response = serve(request, path, insecure=True)
    except SuspiciousFileOperation:
        raise Http404 from None
    response.headers["Cache-Control"] = f"public, max-age={STATIC_SECONDS}"
    return response


class SystemViews(ResourceViewSet):
    """Open to everybody: start-up probes and load balancers have no credentials."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(tags=["system"], summary="Say pong", responses={(200, "text/html"): OpenApiTypes.STR})
    def ping(self, _request: Request) -> HttpResponse:
        return HttpResponse(b"pong")

    @extend_schema(tags=["system"], summary="Check every part", responses={200: OpenApiTypes.OBJECT})
    def healthz(self, _request: Request) -> HttpResponse:
        found: dict[str, Any] = health.report()
        return json_response(found, 200 if found["status"] == "ok" else 500)
