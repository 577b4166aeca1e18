"""Pages of a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models

from apps.core.errors import BadValue
from apps.core.validation import integer

_Row = TypeVar("_Row", bound=models.Model)

DEFAULT_PAGE_SIZE = 30
_FARTHEST = 2**62  # databases count rows in 64 bits


@dataclass(frozen=True, slots=True)
class Page:
    """`number` counts from 1. A size of 0 is an empty page."""

    number: int = 1
    size: int = DEFAULT_PAGE_SIZE

    def slice(self, rows: models.QuerySet[_Row]) -> models.QuerySet[_Row]:
        start = min((self.number - 1) * self.size, _FARTHEST)
        return rows[start : min(start + self.size, _FARTHEST)]

    def read(self, rows: models.QuerySet[_Row], total: int) -> list[_Row]:
        """Return the page of ordered rows of which there are `total`, from whichever end of them is nearer.

        Databases walk over all rows before a page. The order must be complete, so that it has an exact reverse.
        """
        start = (self.number - 1) * self.size
        end = min(start + self.size, total)
        if start >= end:
            return []
        if start <= total - end:
            return list(rows[start:end])
        return list(rows.reverse()[total - end : total - start])[::-1]


def page_of(query: Mapping[str, str], default_size: int = DEFAULT_PAGE_SIZE) -> Page:
    """Read `page` and `page_size` of a query string. Absent and empty mean the default, page 0 means page 1.

    Raises BadValue for text that is no number and for negative numbers.
    """
    number = integer("page", query.get("page") or 1)
    size = integer("page_size", query.get("page_size") or default_size)
    if number < 0 or size < 0:
        raise BadValue("`page` and `page_size` must not be negative.")
    return Page(max(number, 1), size)


def web_page_of(query: Mapping[str, str]) -> Page | None:
    """Read the same of a list of the web API, which is paged only if both numbers are there and not 0.

    Raises BadValue for text that is no number and for negative numbers.
    """
    if not (integer("page", query.get("page") or 0) and integer("page_size", query.get("page_size") or 0)):
        return None
    return page_of(query)


def descending(query: Mapping[str, str]) -> bool:
    """Read `desc`: only `false` and `False` sort upwards."""
    return query.get("desc", "true").strip() not in {"false", "False"}


def web_descending(query: Mapping[str, str]) -> bool:
    """The same of a list of the web API, where `false` counts in any letter case."""
    return query.get("desc", "true").strip().lower() != "false"


def owner_ids_of(body: Mapping[str, Any]) -> list[str]:
    """Read the tenants whose things a list of the web API is narrowed to; an empty list means all. Raises BadValue."""
    ids = body.get("owner_ids") or []
    if not isinstance(ids, list):
        raise BadValue(f"`owner_ids` must be a list of ids, not {ids!r}.")
    return [str(element) for element in ids]


def web_rows(rows: models.QuerySet[_Row], query: Mapping[str, str], total: int | None = None) -> tuple[list[_Row], int]:
    """Return what a list of the web API shows of ordered rows, and how many there are in all, if that is not known.

    Raises as `web_page_of`.
    """
    page = web_page_of(query)
    if page is not None:
        total = rows.count() if total is None else total
        return page.read(rows, total), total
    every = list(rows)
    return every, len(every)


def ordering(columns: Mapping[str, str], column: str, *, descending: bool, table: str) -> list[str]:
    """Translate the `orderby` of a list; the id makes the order complete.

    Raises BadValue for a name that is none of the columns; `table` is what the reference calls the rows in its text.
    """
    if column not in columns:
        raise BadValue(
            f"`orderby` must be one of {', '.join(columns)}, not {column!r}.",
            reference=f"""AttributeError("type object '{table}' has no attribute '{column}'")""",
        )
    sign = "-" if descending else ""
    return [sign + columns[column], f"{sign}id"]
