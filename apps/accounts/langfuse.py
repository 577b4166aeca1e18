"""Speaking to Langfuse, which keeps what models were asked and what they answered, over its public HTTP API.

A tenant chooses the address, so it is reached as the addresses of model servers are. Keys are in no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from ragflow.engine.errors import ModelError
from ragflow.engine.http import Endpoint, async_client, encoded

SECONDS = 10.0  # that one request may take


class LangfuseFailed(Exception):
    """Langfuse did not answer, or with something else than it should. The message says what."""


class KeysRefused(LangfuseFailed):
    """Langfuse knows no project with these keys."""


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Langfuse:
    """A server and the keys of one of its projects."""

    host: str  # https://cloud.langfuse.com
    public_key: str
    secret_key: str = field(repr=False)

    async def project(self) -> Project:
        """Return the project that the keys belong to. Raises KeysRefused and LangfuseFailed."""
        answer = await self._ask("GET", "api/public/projects")
        projects = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(projects, list):
            raise LangfuseFailed("the answer holds no list of projects")
        first = projects[0] if projects else None
        if not isinstance(first, dict):
            raise KeysRefused("the keys belong to no project")
        return Project(str(first.get("id", "")), str(first.get("name", "")))

    async def ingest(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Send a batch of events. Raises KeysRefused, and LangfuseFailed also when some of them are not taken."""
        answer = await self._ask("POST", "api/public/ingestion", {"batch": list(events)})
        refused = answer.get("errors") if isinstance(answer, dict) else None
        if refused:
            raise LangfuseFailed(f"{len(refused)} of {len(events)} events were not taken")

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        import httpx2

        try:
            endpoint = Endpoint(self.host, guarded=settings.MODELS.is_guarded(self.host))
            client = await async_client(endpoint)
            async with asyncio.timeout(SECONDS):
                response = await client.request(
                    method,
                    endpoint.url(path),
                    auth=httpx2.BasicAuth(self.public_key, self.secret_key),
                    content=None if body is None else encoded(body),
                    headers={"Content-Type": "application/json"},
                    timeout=SECONDS,
                )
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise LangfuseFailed(f"it did not answer within {SECONDS:g} seconds") from error
        except ModelError as error:  # the guard refused the address
            raise LangfuseFailed(str(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LangfuseFailed(f"the connection failed ({error or type(error).__name__})") from error
        return _decoded(response)


def _decoded(response: Any) -> Any:
    import orjson

    if response.status_code in (401, 403):
        raise KeysRefused("the keys were refused")
    if not response.is_success:
        raise LangfuseFailed(f"it answered with status {response.status_code}")
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise LangfuseFailed("it sent something that is not JSON") from error
