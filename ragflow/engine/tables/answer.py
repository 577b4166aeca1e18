"""The result of a query as the Markdown table that clients know, and the documents that its rows are from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ragflow.engine.errors import SQLRefused
from ragflow.engine.tables.columns import DOCUMENT_ID, DOCUMENT_NAME, Column, Value
from ragflow.engine.tables.query import Query
from ragflow.engine.tables.sandbox import Result, Sandbox
from ragflow.engine.types import Chunk, DocumentCount, Passage, Retrieval

MOST_EVIDENCE = 20
"""Rows that are named for an aggregate."""

_TIME_OF_DAY = re.compile(r"T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z?$")
_ASIDE = re.compile(r"/.*|（[^（）]*）", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TableAnswer:
    text: str
    rows: Retrieval  # one passage per row, which names its document and nothing else


def answer_of(query: Query, sandbox: Sandbox) -> TableAnswer | None:
    """Run a query. None if it finds nothing. Raises SQLRefused."""
    result = sandbox.run(query.sql)
    if all(value is None for row in result.rows for value in row):
        return None
    hidden = [place for place, name in enumerate(result.names) if name in {DOCUMENT_ID, DOCUMENT_NAME}]
    shown = [place for place in range(len(result.names)) if place not in hidden]
    if not shown:  # only the documents were asked for
        shown = [result.names.index(DOCUMENT_NAME)] if DOCUMENT_NAME in result.names else hidden[:1]
    names = {column.id: column.name for column in sandbox.columns}
    headings = [query.headings.get(place) or names.get(result.names[place], result.names[place]) for place in shown]
    text = _markdown([_heading(name) for name in headings], result, shown, cites=query.has_identity)
    return TableAnswer(text, _documents(result) if query.has_identity else _evidence(query, sandbox))


def _markdown(headings: Sequence[str], result: Result, shown: Sequence[int], *, cites: bool) -> str:
    lines = [
        "|" + "|".join(headings) + ("|Source|" if cites else "|"),
        "|" + "------|" * (len(headings) + cites),
    ]
    for number, row in enumerate(result.rows):
        cells = "|".join(_cell(row[place]) for place in shown)
        lines.append(f"|{cells}|" + (f" ##{number}$$|" if cites else ""))
    return "\n".join(lines)


def _heading(name: str) -> str:
    return _escaped(_ASIDE.sub("", name) or name).strip()


def _cell(value: Value) -> str:
    if value is None:
        return " "
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    return _TIME_OF_DAY.sub("", _escaped(text))


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _documents(result: Result) -> Retrieval:
    id_, name = result.names.index(DOCUMENT_ID), result.names.index(DOCUMENT_NAME)
    return _retrieval((str(row[id_]), str(row[name])) for row in result.rows)


def _evidence(query: Query, sandbox: Sandbox) -> Retrieval:
    """Return rows that an aggregate was made of; none where they cannot be told."""
    if not query.evidence:
        return _retrieval(())
    try:
        return _documents(sandbox.run(query.evidence, limit=MOST_EVIDENCE))
    except SQLRefused:
        return _retrieval(())


def _retrieval(documents: Iterable[tuple[str, str]]) -> Retrieval:
    rows = list(documents)
    names = dict(rows)
    passages = tuple(
        Passage(Chunk(id="", dataset_id="", document_id=id_, document_name=name, content=""), 0.0, 0.0, 0.0)
        for id_, name in rows
    )
    counts = Counter(id_ for id_, _ in rows)
    return Retrieval(
        passages, len(rows), tuple(DocumentCount(id_, names[id_], count) for id_, count in counts.most_common())
    )


def columns_text(columns: Iterable[Column]) -> str:
    """Return columns as a model is told about them, one per line."""
    return "\n".join(f"- {column.id} ({column.name})" for column in columns)
