"""A websocket that tells how the parsing of a dataset's documents comes along: /ws/datasets/{dataset_id}/progress.

It reads the rows that workers write, so it needs no channel layer and works with any number of web processes.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from http.cookies import SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.authentication import principal_of_header, principal_of_user
from apps.accounts.scopes import require_scope
from apps.core.errors import AuthorizationMissing, RagflowError
from apps.core.http import dumps
from apps.core.principal import Principal
from apps.core.threads import in_database
from apps.datasets.selectors import accessible_dataset
from apps.documents.models import Document
from apps.documents.selectors import documents_of

POLL_SECONDS = 1.0
ADMIT_SECONDS = 60.0  # between two looks at the credentials: tokens are revoked, and people disabled
CLOCK_SKEW = timedelta(seconds=5)  # between the machines that write rows and this one
UNAUTHORIZED, NOT_FOUND, SERVER_ERROR = 4401, 4404, 1011  # close codes


class ProgressConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Sends `{"documents": [...]}`: first those being parsed or just changed, then each that changes.

    Credentials: `Authorization: Bearer <token>`, `?token=<token>` (browsers cannot set headers here), or the cookie of
    a session on this very site.
    """

    _polling: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        changes = _Changes(self.scope)
        try:
            first = await in_database(changes.since_last_time)
        except RagflowError:
            await self.close(UNAUTHORIZED)
            return
        if first is None:
            await self.close(NOT_FOUND)
            return
        await self.accept()
        self._polling = asyncio.create_task(self._poll(changes, first))

    async def disconnect(self, code: int) -> None:
        if self._polling is not None:
            self._polling.cancel()

    async def _poll(self, changes: _Changes, documents: list[dict[str, Any]] | None) -> None:
        try:
            while documents is not None:
                if documents:
                    await self.send(text_data=dumps({"documents": documents}).decode())
                await asyncio.sleep(POLL_SECONDS)
                documents = await in_database(changes.since_last_time)
        except RagflowError:
            await self.close(UNAUTHORIZED)
            return
        except Exception:
            await self.close(SERVER_ERROR)
            raise
        await self.close(NOT_FOUND)  # deleted, or no longer shared with the caller


class _Changes:
    """Finds what changed in a dataset between two looks."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._scope = scope
        self._principal: Principal | None = None
        self._admitted_at = 0.0
        self._looked_at: datetime | None = None
        self._shown: dict[str, dict[str, Any]] = {}

    def since_last_time(self) -> list[dict[str, Any]] | None:
        """Return the documents that look different now, or None when the dataset is not the caller's to read.

        Raises one of the authentication errors when the caller's credentials are not, or no longer, good.
        """
        dataset = accessible_dataset(self._caller(), self._scope["url_route"]["kwargs"]["dataset_id"])
        if dataset is None:
            return None
        now = timezone.now()
        changed = Q(updated_at__gte=(self._looked_at or now) - CLOCK_SKEW)
        if self._looked_at is None:
            changed |= Q(state=Document.State.RUNNING)
        self._looked_at = now
        found = [_progress_to_wire(document) for document in documents_of(dataset).filter(changed).only(*_SHOWN)]
        news = [document for document in found if self._shown.get(document["id"]) != document]
        self._shown |= {document["id"]: document for document in news}
        return news

    def _caller(self) -> Principal:
        if self._principal is None or time.monotonic() - self._admitted_at >= ADMIT_SECONDS:
            self._principal = _principal_of(self._scope)
            self._admitted_at = time.monotonic()
        return self._principal


_SHOWN = ("name", "state", "progress", "progress_message", "process_duration", "chunk_count", "token_count")


def _progress_to_wire(document: Document) -> dict[str, Any]:
    return {
        "id": document.pk,
        "name": document.name,
        "run": Document.State(document.state).name,
        "progress": document.progress,
        "progress_msg": document.progress_message,
        "process_duration": document.process_duration,
        "chunk_count": document.chunk_count,
        "token_count": document.token_count,
    }


def _principal_of(scope: dict[str, Any]) -> Principal:
    """Return on whose behalf the socket is opened. Raises one of the authentication errors."""
    headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}
    tokens = parse_qs(scope["query_string"].decode("latin1")).get("token", [])
    header = f"Bearer {tokens[0]}" if tokens else headers.get("authorization")
    if header is not None:
        principal = principal_of_header(header)
        require_scope(principal, "GET", scope["path"])
        return principal
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
        raise AuthorizationMissing  # a page of another site must not use the cookie of this one
    return _principal_of_session(headers.get("cookie", ""))


def _principal_of_session(cookies: str) -> Principal:
    request = HttpRequest()
    cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value if cookie else None)
    user = get_user(request)
    if not user.is_authenticated:
        raise AuthorizationMissing
    return principal_of_user(user)
