"""`column IN (values)` for values by the hundred thousand: they travel as one parameter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import F, Lookup


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


def among(column: str, values: Sequence[int] | Sequence[str]) -> Among:
    """Return a condition for `filter` or `exclude`: the column has one of these values."""
    return Among(F(column), values)
