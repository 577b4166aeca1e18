"""Values by the hundred thousand: into a query as one parameter, out of it as one row, or worked through in slices.

A row for each would cost several times as much, and the interpreter's lock each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from django.db.models import Aggregate, F, Func, Lookup, QuerySet, TextField

_Item = TypeVar("_Item")


class Among(Lookup):
    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*parameters, list(self.rhs))

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        sql = f"{column} IN (SELECT value FROM json_each(%s))"  # noqa: S608 - Django's own quoted name
        return sql, (*parameters, json.dumps(list(self.rhs)))


def among(column: str, values: Sequence[int] | Sequence[float] | Sequence[str]) -> Among:
    """Return a condition for `filter` or `exclude`: the column has one of these values."""
    return Among(F(column), values)


class NotSoughtBy(Func):
    """A column that the planner of SQLite is not to look values up by: it walks along the order of a list instead.

    For a restriction that many rows satisfy, beside one that few do: it cannot estimate that. Others can.
    """

    template = "%(expressions)s"
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **extra)


class _Joined(Aggregate):
    function = "GROUP_CONCAT"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return self.as_sql(compiler, connection, template="STRING_AGG(%(expressions)s, ',')")


def distinct_ids(rows: QuerySet[Any], column: str) -> set[str]:
    """Return the different values of a column of ids, which hold no commas."""
    joined = rows.order_by().aggregate(joined=_Joined(F(column)))["joined"]
    return set(joined.split(",")) if joined else set()


def slices(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of this size, as they are asked for; the last list may be shorter."""
    rest = iter(items)
    while slice_ := list(islice(rest, size)):
        yield slice_
