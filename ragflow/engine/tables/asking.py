"""From a question to an answer out of the rows: by SQL that a model writes, or, without one, by a plain look-up."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ragflow.engine.errors import ModelError, SQLRefused
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import Completion, complete, estimate_usage
from ragflow.engine.tables.answer import TableAnswer, answer_of, columns_text
from ragflow.engine.tables.columns import DOCUMENT_ID, DOCUMENT_NAME
from ragflow.engine.tables.lookup import look_up
from ragflow.engine.tables.query import TABLE, read_query
from ragflow.engine.tables.sandbox import MOST_CELLS, Sandbox, Sheet, columns_of_all
from ragflow.engine.types import Message, Usage

logger = logging.getLogger(__name__)

TRIES = 2
OPTIONS: dict[str, Any] = {"temperature": 0.06}
RULES = f"""\
You write one SQL query (SQLite) that answers a question from a table of spreadsheet rows.
- Use the names of the fields exactly as they are listed, with their endings. The text in brackets only explains them.
- The rows come from several spreadsheets, and a row is NULL in the fields of the others: when fields are to be shown,
  ask that they are IS NOT NULL.
- Select {DOCUMENT_ID} and {DOCUMENT_NAME} in every statement that does not aggregate.
- Count rows with COUNT(*).
- Text is compared by words; write the value as it stands in the question.
Reply with the SQL only: one SELECT, no explanation."""

_FENCE = re.compile(r"```(?:\w+)?\s*(.*?)(?:```|$)", re.DOTALL)
_THOUGHTS = re.compile(r"^.*</think>", re.DOTALL)


ReadSheets = Callable[[str], Awaitable[Sequence[Sheet]]]
"""Reads the sheets that a question may be answered from."""


@dataclass(frozen=True, slots=True)
class Found:
    answer: TableAnswer
    sql: str
    usage: Usage


async def ask_tables(question: str, read: ReadSheets, model: ChatModel) -> Found | None:
    """Answer a question from the rows of sheets. None where they do not answer it; then a search may."""
    sheets = await read(question) if question.strip() else ()
    cells = sum(sheet.table.row_count * len(sheet.table.columns) for sheet in sheets)
    if not sheets:
        return None
    if cells > MOST_CELLS:
        logger.warning(
            "Spreadsheets of %d cells are not asked by SQL, only searched: the most is %d", cells, MOST_CELLS
        )
        return None
    if model.can_instruct:
        return await _by_sql(question, sheets, read, model)
    try:
        found = await asyncio.to_thread(look_up, question, sheets)
    except SQLRefused as error:  # it takes too long
        logger.warning("Spreadsheets could not be looked into: %s", error)
        return None
    if found is None:
        return None
    return Found(found.answer, found.sql, estimate_usage([Message("user", question)], found.answer.text))


async def _by_sql(question: str, sheets: Sequence[Sheet], read: ReadSheets, model: ChatModel) -> Found | None:
    """Let the model write SQL, and once more when it cannot be run.

    The rows are read again afterwards: some may have been deleted while the model wrote.
    """
    asked = f"Table: {TABLE}\n{columns_text(columns_of_all(sheets))}\nQuestion: {question}"
    failure, used = "", (0, 0, False)
    for _ in range(TRIES):
        try:
            completion = await complete(
                model, [Message("system", RULES), Message("user", asked + failure)], options=OPTIONS
            )
        except ModelError as error:
            logger.warning("%s wrote no SQL: %s", model.name, error)
            return None
        used = _added(used, completion)
        sql = sql_of(completion.text)
        try:
            answer = await asyncio.to_thread(_run, sql, await read(question))
        except SQLRefused as error:
            logger.info("SQL of %s cannot be run: %s", model.name, error)
            failure = f"\n\nYour last SQL:\n{sql}\nIt failed: {error}\nReply with SQL that works."
            continue
        if answer is None:
            return None
        return Found(answer, sql, Usage(used[0], used[1], estimated=used[2]))
    return None


def _added(used: tuple[int, int, bool], completion: Completion) -> tuple[int, int, bool]:
    usage = completion.usage
    return used[0] + usage.prompt_tokens, used[1] + usage.completion_tokens, used[2] or usage.estimated


def _run(sql: str, sheets: Sequence[Sheet]) -> TableAnswer | None:
    query = read_query(sql, columns_of_all(sheets))
    with Sandbox(sheets) as sandbox:
        return answer_of(query, sandbox)


def sql_of(reply: str) -> str:
    """Return the statement in a reply, without thoughts, code fences and the final semicolon."""
    text = _THOUGHTS.sub("", reply)
    if fenced := _FENCE.search(text):
        text = fenced[1]
    return text.strip().rstrip(";").strip()
