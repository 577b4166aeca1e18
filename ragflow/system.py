"""What the installation says about itself (`/v1/system/...`)."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import system_settings
from apps.accounts.views.base import ANSWER, OpenViewSet, WebViewSet
from apps.core.rest import web_success
from ragflow import health
from ragflow.heartbeats import heartbeats


@extend_schema(tags=["system"])
class InstallationViewSet(WebViewSet):
    @extend_schema(summary="Get the version", responses=ANSWER)
    def version(self, _request: Request) -> Response:
        return web_success(f"v{settings.SPECTACULAR_SETTINGS['VERSION']}")

    @extend_schema(summary="Get the state of every part, and of the workers", responses=ANSWER)
    def status(self, _request: Request) -> Response:
        engine = "elasticsearch" if settings.ELASTICSEARCH_URL else "embedded"
        storage = "s3" if settings.STORAGE_URL.startswith("s3:") else "file"
        return web_success(
            {
                "doc_engine": _part("doc_engine", type=engine),
                "storage": _part("storage", storage=storage),
                "database": _part("db", database=connection.vendor),
                "redis": _part("redis"),
                "task_executor_heartbeats": heartbeats(),
            }
        )


@extend_schema(tags=["system"], auth=[])
class ConfigViewSet(OpenViewSet):
    @extend_schema(summary="Whether strangers may register", responses=ANSWER)
    def config(self, _request: Request) -> Response:
        return web_success({"registerEnabled": int(system_settings.is_registration_open())})


def _part(name: str, **about: str) -> dict[str, str]:
    result = health.examine(name)
    if result.error:
        return about | {"status": "red", "elapsed": result.elapsed, "error": result.error}
    return about | {"status": "green", "elapsed": result.elapsed}
