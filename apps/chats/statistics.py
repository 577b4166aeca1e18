"""How much a tenant's embedded chats are used, day by day. The database adds up; no conversation is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate

from apps.chats import selectors
from apps.chats.models import Message
from apps.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Day:
    """The sessions that began on a day, and all that was said in them since."""

    day: date
    sessions: int
    users: int
    questions: int
    tokens: int
    seconds: float


def days_of(principal: Principal, since: datetime, until: datetime) -> list[Day]:
    """Return the days on which people opened embedded chats of the caller's, oldest first."""
    sessions = selectors.embedded_sessions_of(principal).order_by().filter(created_at__gte=since, created_at__lte=until)
    opened = sessions.values(day=TruncDate("created_at")).annotate(
        sessions=Count("pk"), users=Count("user_id", distinct=True)
    )
    said = (
        Message.objects.order_by()
        .filter(session__in=sessions)
        .values(day=TruncDate("session__created_at"))
        .annotate(questions=Count("pk", filter=Q(role=Message.Role.USER)), tokens=Sum("tokens"), seconds=Sum("seconds"))
    )
    by_day = {row["day"]: row for row in said}
    return [_day(row, by_day.get(row["day"], {})) for row in opened.order_by("day")]


def _day(opened: Mapping[str, Any], said: Mapping[str, Any]) -> Day:
    added_up = {name: said.get(name) or 0 for name in ("questions", "tokens", "seconds")}
    return Day(day=opened["day"], sessions=opened["sessions"], users=opened["users"], **added_up)
