"""What this installation consists of, why, and whether it answers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from apps.accounts.language_models import chat_model_for, embedder_for, registry
from apps.accounts.models import Tenant
from apps.accounts.selectors import tenant_of
from ragflow import health
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.types import Message
from ragflow.housekeeping import GONE_AFTER
from ragflow.management.caller import caller
from ragflow.models import BrokerMessage, Worker

GIBIBYTE = 1024**3
LITTLE_SPACE = GIBIBYTE


class Ailing(Exception):
    """A part does not do what is needed of it. The message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    backend: str
    why: str
    check: Callable[[], str]  # returns a remark; raises when the part does not answer
    needed: bool = True


class Command(BaseCommand):
    help = "Check every part of the installation: what is used, why, and whether it answers."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        findings = [self._examine(part) for part in _parts()]
        if not all(findings):
            raise SystemExit(1)

    def _examine(self, part: Part) -> bool:
        """Print the finding. Return False for a part that is needed and does not answer."""
        started = time.perf_counter()
        try:
            remark, answers = part.check(), True
        except Exception as error:  # noqa: BLE001 - whatever it raises, the part does not work
            remark, answers = str(error) or type(error).__name__, False
        milliseconds = (time.perf_counter() - started) * 1000
        mark = self.style.SUCCESS("ok  ") if answers else self.style.ERROR("FAIL") if part.needed else "none"
        self.stdout.write(f"{mark}  {part.name:<16} {part.backend}  ({part.why})")
        self.stdout.write(f"      {'':<16} {remark + '; ' if remark else ''}{milliseconds:.0f} ms")
        return answers or not part.needed


def _parts() -> list[Part]:
    models = registry()
    reasons = {(status.kind, status.name): status.reason for status in models.describe()}
    embedding, chat = models.default_embedding_name, models.default_chat_name
    return [
        Part("database", connection.display_name, _chosen_by("DATABASE_URL", settings.DATABASE_URL), _database),
        Part("search index", *_search_index(), _answers("doc_engine")),
        Part("files", *_files(), _answers("storage")),
        Part("message broker", *_broker(), _queue),
        Part("worker", "Celery", "workers report to the database", _worker),
        Part("embedding model", embedding, reasons.get(("embedding", embedding), "configured"), _embedding_model),
        Part("chat model", chat, reasons.get(("chat", chat), "configured"), _chat_model),
        *_operators_models(),
        Part("OCR", "tesseract", "used for scanned pages and pictures, where it is installed", _ocr, needed=False),
        Part("old Office files", "LibreOffice", "used for .doc and .ppt, where it is installed", _office, needed=False),
        Part("secret key", *_secret_key(), _secrecy),
        Part("disk", str(settings.DATA_DIR), "RAGFLOW_DATA_DIR, or its default", _disk),
    ]


def _chosen_by(variable: str, value: str) -> str:
    host = urlsplit(value).hostname  # never the whole URL: it may hold a password
    return f"{variable} names {host or 'it'}" if value else f"{variable} is not set"


def _search_index() -> tuple[str, str]:
    backend = "Elasticsearch" if settings.ELASTICSEARCH_URL else f"embedded, {settings.INDEX_FILE}"
    return backend, _chosen_by("ELASTICSEARCH_URL", settings.ELASTICSEARCH_URL)


def _files() -> tuple[str, str]:
    remote = settings.STORAGE_URL.startswith("s3:")
    return ("S3" if remote else f"folder {default_storage.path('')}"), _chosen_by("STORAGE_URL", settings.STORAGE_URL)


def _broker() -> tuple[str, str]:
    backend = "Redis" if settings.REDIS_URL else "a table in the database"
    return backend, _chosen_by("REDIS_URL", settings.REDIS_URL)


def _answers(key: str) -> Callable[[], str]:
    def check() -> str:
        health.CHECKS[key]()
        return ""

    return check


def _database() -> str:
    health.CHECKS["db"]()
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if pending := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise Ailing(f"{len(pending)} migrations have not run; run `manage.py migrate`")
    return ""


def _queue() -> str:
    health.CHECKS["redis"]()
    return "" if settings.REDIS_URL else f"{BrokerMessage.objects.count()} messages"


def _worker() -> str:
    living = list(Worker.objects.filter(seen_at__gt=timezone.now() - GONE_AFTER).order_by("name"))
    if not living:
        raise Ailing("no worker has been seen within a minute, so nothing is parsed; `manage.py up` runs one")
    ages = ((worker, (timezone.now() - worker.seen_at).total_seconds()) for worker in living)
    return ", ".join(f"{worker.name} ({worker.threads} threads) seen {age:.0f} s ago" for worker, age in ages)


def _embedding_model() -> str:
    return _embeds(registry().embedder(""))


def _chat_model() -> str:
    return _chats(registry().chat_model(""))


def _operators_models() -> list[Part]:
    """The models that the first operator's tenant prefers to the installation's."""
    try:
        tenant = tenant_of(caller(""))
    except (CommandError, DatabaseError, Tenant.DoesNotExist):
        return []
    parts = []
    if name := tenant.embedding_model:
        embeds = partial(_embeds_for, tenant, name)
        parts.append(Part("operator's", name, f"embedding model of {tenant}", embeds, needed=False))
    if name := tenant.chat_model:
        chats = partial(_chats_for, tenant, name)
        parts.append(Part("operator's", name, f"chat model of {tenant}", chats, needed=False))
    return parts


def _embeds_for(tenant: Tenant, name: str) -> str:
    return _embeds(embedder_for(name, tenant.pk))


def _chats_for(tenant: Tenant, name: str) -> str:
    return _chats(chat_model_for(tenant, name))


def _embeds(model: Embedder) -> str:
    return f"{len(model.embed_query('Is anybody there?'))} dimensions"


def _chats(model: ChatModel) -> str:
    async def first_event() -> None:
        asked = [Message("user", "Is anybody there?")]
        async with aclosing(model.stream(asked, options={"max_tokens": 16})) as events:
            async for _ in events:
                return

    asyncio.run(first_event())
    return ""


def _ocr() -> str:
    if shutil.which("tesseract") is None:
        raise Ailing("not installed: scanned pages and pictures give no text")
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S607
    return "languages: " + ", ".join(listed.stdout.split("\n")[1:]).rstrip(", ")


def _office() -> str:
    found = shutil.which("soffice") or shutil.which("libreoffice")
    if found is None:
        raise Ailing("not installed: .doc and .ppt cannot be read")
    return found


def _secret_key() -> tuple[str, str]:
    if settings.KEY_FILE is None:
        return "from the environment", "RAGFLOW_SECRET_KEY is set"
    return str(settings.KEY_FILE), "RAGFLOW_SECRET_KEY is not set"


def _secrecy() -> str:
    if len(settings.SECRET_KEY) < 32:
        raise Ailing("the key is shorter than 32 characters")
    file = settings.KEY_FILE
    if file is not None and file.stat().st_mode & 0o077:
        raise Ailing(f"others may read it; run `chmod 600 {file}`")
    return ""


def _disk() -> str:
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < LITTLE_SPACE:
        raise Ailing(f"only {free / GIBIBYTE:.1f} GiB are free")
    return f"{free / GIBIBYTE:.0f} GiB free"
