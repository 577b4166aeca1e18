"""A SELECT as a model writes it, made to mean what it says over the columns that there are.

It is read as tokens, not as a grammar: names of columns are found in any case and quoting, comparisons of texts are by
words, and rows say which document they are from. Whether the result is harmless is not decided here but in `sandbox`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ragflow.engine.errors import SQLRefused
from ragflow.engine.tables.columns import DATASET_ID, DOCUMENT_ID, DOCUMENT_NAME, Column, Kind

TABLE = "spreadsheet"
ROW_COUNT = "COUNT(*)"
MATCHES = "matches_words"
"""The SQL function (cell, text) that compares texts by words."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
      | (?P<word>[^\W\d]\w*)
      | (?P<other>\d[\w.]*|<=|>=|<>|!=|==|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_RESERVED = frozenset(
    """all and as asc between by case cast collate cross desc distinct else end except exists from full glob group
    having ilike in inner intersect is isnull join left like limit not notnull null nulls offset on or order outer
    right select then union using when where with""".split()  # noqa: SIM905 - as a list it would fill a page
)
_AGGREGATES = frozenset({"avg", "count", "group_concat", "max", "min", "string_agg", "sum", "total"})
_END_OF_SELECTION = frozenset({"from"})
_END_OF_CONDITION = frozenset({"group", "having", "order", "limit", "union", "intersect", "except", "window"})
_LONGEST_NAME = 6  # words of a name that is not quoted
_EQUAL = {"=": "", "==": "", "like": "", "ilike": "", "!=": "NOT ", "<>": "NOT "}


@dataclass(frozen=True, slots=True)
class Token:
    kind: Literal["text", "quoted", "word", "other"]
    text: str
    column: Column | None = None  # that the name stands for

    @property
    def lower(self) -> str:
        return self.text.lower() if self.kind != "text" else ""


_COMMA = Token("other", ",")


@dataclass(frozen=True, slots=True)
class Query:
    sql: str
    has_identity: bool  # each row names its document
    headings: dict[int, str]  # of results by their place, where the name of a result would not say it
    evidence: str = ""  # SQL for the rows that an aggregate was made of


class Names:
    """Finds what a name stands for: a column by id, display name or its id without the type."""

    def __init__(self, columns: Iterable[Column]) -> None:
        self._known = {TABLE: Column(TABLE, TABLE, Kind.TEXT)}
        for name, id_ in (
            (DOCUMENT_ID, DOCUMENT_ID), (DOCUMENT_NAME, DOCUMENT_NAME), ("docnm", DOCUMENT_NAME),
            (DATASET_ID, DATASET_ID),
        ):  # fmt: skip
            self._known[name] = Column(id_, id_, Kind.TEXT)
        listed = list(columns)
        for column in listed:
            self._known.setdefault(column.id.lower(), column)
        for column in listed:
            for name in (column.name, column.stem):
                self._known.setdefault(_plain(name), column)

    def find(self, text: str) -> Column | None:
        plain = _plain(text)
        return self._known.get(text.lower()) or (self._known.get(plain) if plain else None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def read_query(sql: str, columns: Sequence[Column]) -> Query:
    """Return the statement as SQLite shall run it. Raises SQLRefused for anything but one SELECT."""
    tokens = _named(_tokens(sql), Names(columns))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens or tokens[0].lower != "select":
        raise SQLRefused("Only a SELECT statement can be answered.")
    if any(token.text == ";" for token in tokens):
        raise SQLRefused("Only one statement can be answered.")
    return _Selection(tokens, columns).query()


def _tokens(sql: str) -> list[Token]:
    return [
        Token(match.lastgroup, match.group())  # type: ignore[arg-type]  # the groups are the kinds
        for match in _TOKEN.finditer(sql)
        if match.lastgroup != "space"
    ]


def _named(tokens: Sequence[Token], names: Names) -> list[Token]:
    """Replace names by those of the table and its columns. What is no such name stays: it may be an alias."""
    named: list[Token] = []
    place = 0
    while place < len(tokens):
        token, used = _name_at(tokens, place, names, after_as=bool(named) and named[-1].lower == "as")
        named.append(token)
        place += used
    return named


def _name_at(tokens: Sequence[Token], place: int, names: Names, *, after_as: bool) -> tuple[Token, int]:
    token = tokens[place]
    if token.kind == "quoted":
        inner = token.text[1:-1].replace('""', '"') if token.text.startswith('"') else token.text[1:-1]
        if column := names.find(inner):
            return _column_token(column), 1
        return Token("quoted", _quoted(inner)), 1
    if token.kind != "word" or token.lower in _RESERVED or after_as:
        return token, 1
    words = _run_of_words(tokens, place)
    for length in range(len(words), 0, -1):
        called = place + length < len(tokens) and tokens[place + length].text == "("
        if not called and (column := names.find(" ".join(words[:length]))):
            return _column_token(column), length
    return token, 1


def _run_of_words(tokens: Sequence[Token], place: int) -> list[str]:
    words: list[str] = []
    for token in tokens[place : place + _LONGEST_NAME]:
        if token.kind != "word" or token.lower in _RESERVED:
            break
        words.append(token.text)
    return words


def _column_token(column: Column) -> Token:
    return Token("quoted", _quoted(column.id), column)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _strictly(name: Token) -> Token:
    """Return an unknown name so that SQLite calls it unknown; in double quotes it takes one for a text."""
    return Token("quoted", "`" + name.text[1:-1].replace('""', '"').replace("`", "``") + "`")


class _Selection:
    """SELECT <items> FROM <table> WHERE <condition> ..., cut into its parts."""

    def __init__(self, tokens: Sequence[Token], columns: Sequence[Column]) -> None:
        self._columns = columns
        self._is_distinct = len(tokens) > 1 and tokens[1].lower in {"distinct", "all"}
        start = 2 if self._is_distinct else 1
        end = _until(tokens, start, _END_OF_SELECTION)
        self._lead = tokens[:start]
        self._items = [self._expanded(item) for item in _split(tokens[start:end])]
        self._rest = tokens[end:]

    def _expanded(self, item: list[Token]) -> list[Token]:
        if [token.text for token in item] == ["*"]:
            return _joined([[_column_token(column)] for column in self._columns])
        if item and item[0].kind == "quoted" and item[0].column is None:
            return [_strictly(item[0]), *item[1:]]
        return item

    @property
    def _aggregates(self) -> bool:
        called = any(
            token.lower in _AGGREGATES and following.text == "("
            for item in self._items
            for token, following in pairwise(item)
        )
        return called or _until(self._rest, 0, frozenset({"group", "union", "intersect", "except"})) < len(self._rest)

    def query(self) -> Query:
        named = {token.column.id for item in self._items for token in item if token.column}
        items = list(self._items)
        if not self._aggregates:
            missing = [name for name in (DOCUMENT_ID, DOCUMENT_NAME) if name not in named]
            items += [[Token("quoted", _quoted(name))] for name in missing]
            named.update(missing)
        tokens = [*self._lead, *_joined(items), *self._rest]
        headings = {place: heading for place, item in enumerate(self._items) if (heading := _heading(item))}
        has_identity = {DOCUMENT_ID, DOCUMENT_NAME} <= named
        return Query(_sql(tokens), has_identity, headings, "" if has_identity else self._evidence())

    def _evidence(self) -> str:
        end = _until(self._rest, 0, _END_OF_CONDITION)
        source = self._rest[:end]
        plain = len(source) > 1 and source[1].text == _quoted(TABLE)
        return f"SELECT {DOCUMENT_ID}, {DOCUMENT_NAME} {_sql(source)}" if plain else ""


def _until(tokens: Sequence[Token], start: int, words: frozenset[str]) -> int:
    """Return the place of the first of these words outside of parentheses, or the end."""
    depth = 0
    for place in range(start, len(tokens)):
        token = tokens[place]
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.kind == "word" and token.lower in words:
            return place
    return len(tokens)


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Return what stands between commas."""
    items: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            items.append([])
        else:
            items[-1].append(token)
    return items


def _joined(items: Sequence[Sequence[Token]]) -> list[Token]:
    tokens = list(items[0])
    for item in items[1:]:
        tokens += [_COMMA, *item]
    return tokens


def _heading(item: Sequence[Token]) -> str:
    """Return what a result is called that has no name, or is a plain row count; empty where SQLite knows its name."""
    if [token.lower for token in item[:4]] in (["count", "(", "*", ")"], ["count", "(", "1", ")"]):
        return ROW_COUNT
    if item and item[-1].text == ")":
        return "".join(token.column.name if token.column else token.text for token in item)
    return ""


def _sql(tokens: Sequence[Token]) -> str:
    """Return tokens as SQL, comparisons of texts as calls of MATCHES."""
    parts: list[str] = []
    place = 0
    while place < len(tokens):
        compared = _comparison_at(tokens, place)
        if compared is None:
            parts.append("LIKE" if tokens[place].lower == "ilike" else tokens[place].text)
            place += 1
            continue
        text, used = compared
        parts.append(text)
        place += used
    return " ".join(parts)


def _comparison_at(tokens: Sequence[Token], place: int) -> tuple[str, int] | None:
    """Return <text column> = '...' as a call, with the number of its tokens."""
    column = tokens[place].column
    if column is None or column.kind is not Kind.TEXT or column.id in {DOCUMENT_ID, DATASET_ID, TABLE}:
        return None
    following = tokens[place + 1 : place + 4]
    negated = "NOT " if following and following[0].lower == "not" else ""
    if negated:
        following = following[1:]
    if len(following) < 2 or following[0].lower not in _EQUAL:
        return None
    text = _literal(following[1])
    if text is None:
        return None
    if place and tokens[place - 1].text == ".":
        return None  # after an alias: compared as a whole, without regard to case
    call = f"{negated or _EQUAL[following[0].lower]}{MATCHES}({tokens[place].text}, {text})"
    return call, 3 + bool(negated)


def _literal(token: Token) -> str | None:
    if token.kind == "text":
        return token.text
    if token.kind == "quoted" and token.column is None:  # as MySQL writes texts
        return "'" + token.text[1:-1].replace('""', '"').replace("'", "''") + "'"
    return None
