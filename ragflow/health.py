"""Whether the parts that the server depends on answer."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

from apps.datasets.engine import doc_store

log = logging.getLogger(__name__)


def report() -> dict[str, Any]:
    """Return `ok` or `nok` for each part, for all of them (`status`), and what is known of failures (`_meta`).

    Anybody may ask, so the reason of a failure is in the log only.
    """
    found: dict[str, Any] = {}
    failures: dict[str, dict[str, str]] = {}
    for name in CHECKS:
        result = examine(name)
        found[name] = "nok" if result.error else "ok"
        if result.error:
            failures[name] = {"elapsed": result.elapsed, "error": result.error}
    found["status"] = "nok" if failures else "ok"
    return found | ({"_meta": failures} if failures else {})


@dataclass(frozen=True, slots=True)
class Result:
    """How long a check took in milliseconds, as text, and a sentence if the part does not work."""

    elapsed: str
    error: str = ""


def examine(name: str) -> Result:
    """Check one part. The reason of a failure is in the log only."""
    started = time.perf_counter()
    error = ""
    try:
        CHECKS[name]()
    except Exception as failure:  # noqa: BLE001 -- whatever it raises, the part does not work
        log.warning("Health: %s does not answer: %s", name, str(failure) or type(failure).__name__)
        error = f"{name} does not answer; see the server's log."
    return Result(f"{(time.perf_counter() - started) * 1000:.1f}", error)


def examine_all(names: Sequence[str], *, seconds: float) -> dict[str, Result]:
    """Check parts side by side. One that has not answered in time counts as not answering."""
    results: dict[str, Result] = {}

    def check(name: str) -> None:
        results[name] = examine(name)

    here = [name for name in names if name == "db" or (name == "redis" and not settings.REDIS_URL)]
    contexts = {name: copy_context() for name in names if name not in here}  # the log names the request
    threads = [
        threading.Thread(target=context.run, args=(check, name), daemon=True) for name, context in contexts.items()
    ]
    for thread in threads:
        thread.start()
    for name in here:  # whoever asks has used this thread's database connection already
        check(name)
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = Result(f"{seconds * 1000:.1f}", f"no answer within {seconds:.0f} seconds.")
    return {name: results.get(name, late) for name in names}


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    """Reach the message broker. The key in the report is `redis`, whichever broker it is."""
    if not settings.REDIS_URL:
        _database()
        return
    import redis

    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        client.ping()


def _doc_engine() -> None:
    doc_store().ping()


def _storage() -> None:
    default_storage.exists(f"health/{secrets.token_hex(8)}")


CHECKS: dict[str, Callable[[], None]] = {
    "db": _database,
    "redis": _broker,
    "doc_engine": _doc_engine,
    "storage": _storage,
}
