"""The parts of the installation: what runs here, under the names that the contract gives to services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.db import connection

from apps.accounts.system_settings import MASK
from ragflow import health
from ragflow.heartbeats import heartbeats

SECONDS = 5.0
"""How long a part may take to answer before it counts as not answering."""


@dataclass(frozen=True, slots=True)
class Part:
    """`check` is its name in `ragflow.health`; the web server, which answers here, and the workers have none."""

    id: int
    name: str
    type: str
    host: str
    port: int | None
    extra: Mapping[str, str]
    check: str = ""


@dataclass(frozen=True, slots=True)
class State:
    is_alive: bool
    message: str | dict[str, Any]

    @property
    def word(self) -> str:
        return "alive" if self.is_alive else "timeout"


def parts() -> list[Part]:
    """Return all parts, numbered in this order. No password is in them."""
    described = (_web_server(), _database(), _storage(), _index(), _broker(), _workers())
    return [Part(number, **about) for number, about in enumerate(described)]


def states(wanted: list[Part]) -> dict[int, State]:
    """Return by id how parts are, after SECONDS at most: they are asked side by side."""
    results = health.examine_all([part.check for part in wanted if part.check], seconds=SECONDS)
    return {part.id: _state(part, results) for part in wanted}


def _state(part: Part, results: Mapping[str, health.Result]) -> State:
    if part.type == "task_executor":
        beating = heartbeats()
        return State(bool(beating), beating or "Not found any task executor.")
    result = results.get(part.check, health.Result("0.0"))  # what answers this needs no check
    if result.error:
        return State(is_alive=False, message=f"error: {result.error}")
    return State(is_alive=True, message=f"Confirm elapsed: {result.elapsed} ms.")


def _web_server() -> dict[str, Any]:
    return {
        "name": "ragflow_0",
        "type": "ragflow_server",
        "host": settings.HOST,
        "port": settings.PORT,
        "extra": {},
    }


def _database() -> dict[str, Any]:
    known = settings.DATABASES["default"]
    vendor = "postgres" if connection.vendor == "postgresql" else connection.vendor
    account = {"username": known.get("USER") or "", "password": MASK if known.get("PASSWORD") else ""}
    return {
        "name": vendor,
        "type": "meta_data",
        "host": known.get("HOST") or "",
        "port": int(known.get("PORT") or 0) or None,
        "extra": {"meta_type": vendor, **account},
        "check": "db",
    }


def _storage() -> dict[str, Any]:
    kind = "s3" if settings.STORAGE_URL.startswith("s3:") else "file"
    storage: Any = settings.STORAGES["default"]
    url = urlsplit(storage["OPTIONS"].get("endpoint_url", "") if kind == "s3" else "")
    return {
        "name": kind,
        "type": "file_store",
        **_place(url),
        "extra": {"store_type": kind, "user": "", "password": ""},
        "check": "storage",
    }


def _index() -> dict[str, Any]:
    url = urlsplit(settings.ELASTICSEARCH_URL)
    kind = "elasticsearch" if settings.ELASTICSEARCH_URL else "embedded"
    return {
        "name": kind,
        "type": "retrieval",
        **_place(url),
        "extra": {"retrieval_type": kind, **_account(url)},
        "check": "doc_engine",
    }


def _broker() -> dict[str, Any]:
    url = urlsplit(settings.REDIS_URL)
    kind = "redis" if settings.REDIS_URL else "database"
    return {
        "name": kind,
        "type": "message_queue",
        **_place(url),
        "extra": {"mq_type": kind, "database": url.path.strip("/"), "password": _account(url)["password"]},
        "check": "redis",
    }


def _workers() -> dict[str, Any]:
    kind = "redis" if settings.REDIS_URL else "database"
    return {
        "name": "task_executor",
        "type": "task_executor",
        "host": "",
        "port": None,
        "extra": {"message_queue_type": kind},
    }


def _place(url: SplitResult) -> dict[str, Any]:
    return {"host": url.hostname or "", "port": url.port}


def _account(url: SplitResult) -> dict[str, str]:
    return {"username": url.username or "", "password": MASK if url.password else ""}
