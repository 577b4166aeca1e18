"""Times as the contract writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from django.utils import timezone


def milliseconds(moment: datetime) -> int:
    """Return Unix time in milliseconds."""
    return int(moment.timestamp() * 1000)


def http_date(moment: datetime | None) -> str | None:
    """Return `Fri, 23 Jan 2026 22:09:49 GMT`, or None."""
    return format_datetime(moment.astimezone(UTC), usegmt=True) if moment else None


def local_time(seconds: float) -> str:
    """Return a Unix time as the server's wall clock shows it: `2026-01-23 22:09:49`."""
    return f"{timezone.localtime(datetime.fromtimestamp(seconds, UTC)):%Y-%m-%d %H:%M:%S}"


def timestamps(created_at: datetime, updated_at: datetime) -> dict[str, object]:
    """Return the four time fields that every object of the contract carries."""
    return {
        "create_time": milliseconds(created_at),
        "create_date": http_date(created_at),
        "update_time": milliseconds(updated_at),
        "update_date": http_date(updated_at),
    }
