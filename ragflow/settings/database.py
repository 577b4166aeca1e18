"""The relational database: SQLite in the data folder, or whatever DATABASE_URL names."""

from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from ragflow.settings.env import ESCAPED, Section
from ragflow.settings.paths import DATA_DIR, THREADS

_stores = Section("Stores")

DATABASE_URL = _stores.text(
    "DATABASE_URL",
    secret=True,
    help="For example postgres://user:password@host/name. Empty: SQLite in the data folder.",
)


def _sqlite(options: dict[str, Any]) -> dict[str, Any]:
    # IMMEDIATE takes the write lock at BEGIN, so a transaction waits for its turn instead of failing half way.
    return options | {
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
                "PRAGMA cache_size=-20000; PRAGMA mmap_size=134217728"
            ),
        },
    }


def _postgresql(options: dict[str, Any]) -> dict[str, Any]:
    # Django refuses a pool together with persistent connections.
    pool = {"min_size": 2, "max_size": THREADS + 4, "timeout": 10}
    pooled = {"CONN_MAX_AGE": 0, "OPTIONS": options.get("OPTIONS", {}) | {"pool": pool}}
    return options | pooled | {"CONN_HEALTH_CHECKS": True}  # a restart of the server fails no request


def _default() -> dict[str, Any]:
    if not DATABASE_URL:
        return _sqlite({"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "ragflow.sqlite3"})
    scheme = DATABASE_URL.partition("://")[0]
    if scheme not in {"postgres", "postgresql", "sqlite"}:  # never the whole URL: it may hold a password
        raise ImproperlyConfigured("DATABASE_URL must be like postgres://user:password@host:5432/name.")
    try:
        options: dict[str, Any] = dict(dj_database_url.parse(DATABASE_URL))
    except ValueError:  # whose message may hold a part of the password
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read. {ESCAPED}") from None
    return _sqlite(options) if scheme == "sqlite" else _postgresql(options)


DATABASES = {"default": _default()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
