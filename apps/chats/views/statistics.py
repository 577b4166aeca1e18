"""Statistics of embedded chats (`/v1/api/stats`)."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.chats.statistics import days_of
from apps.chats.statistics_wire import statistics_to_wire
from apps.core.errors import BadValue, NotFound
from apps.core.rest import caller, web_success

DEFAULT_PERIOD = timedelta(days=7)


@extend_schema(tags=["chats"])
class StatisticsViewSet(WebViewSet):
    @extend_schema(
        summary="Show how much embedded chats are used",
        parameters=[
            OpenApiParameter("from_date", str, description="`2026-01-31` or `2026-01-31 12:00:00`; default a week ago"),
            OpenApiParameter("to_date", str, description="The same; a day counts to its end. Default: now."),
            OpenApiParameter("canvas_id", str, description="Asks for agents, of which there are none."),
        ],
        responses=ANSWER,
    )
    def show(self, request: Request) -> Response:
        principal, query = caller(request), request.query_params
        if selectors.tenant_or_none(principal) is None:
            raise NotFound("Tenant not found!")
        now = timezone.localtime()
        week_ago = datetime.combine((now - DEFAULT_PERIOD).date(), time.min, now.tzinfo)
        since = _moment("from_date", query["from_date"], time.min) if query.get("from_date") else week_ago
        until = _moment("to_date", query["to_date"], time.max) if query.get("to_date") else now
        return web_success(statistics_to_wire([] if "canvas_id" in query else days_of(principal, since, until)))


def _moment(name: str, text: str, time_of_day: time) -> datetime:
    """Return a moment of local time; of a mere day, the one at this time. Raises BadValue."""
    try:
        moment = datetime.fromisoformat(text)
        if len(text) == len("2026-01-31"):
            moment = datetime.combine(moment.date(), time_of_day)
        return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    except (ValueError, OverflowError):
        raise BadValue(f"`{name}` must be a day like 2026-01-31, with or without a time.") from None
