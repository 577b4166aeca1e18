"""JSON and JSON Lines: nested structure cut into small objects that keep the path of their keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ragflow.engine.errors import LimitExceeded, MalformedFile
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import read_text
from ragflow.engine.types import Block, Notice

OBJECT_CHARACTERS = 1024  # twice the default chunk size of 512 tokens
SAMPLE_LINES = 10

Path = tuple[str, ...]


def read(source: Source) -> Iterator[Block | Notice]:
    text = read_text(source)
    if not text.strip():
        return
    if len(text) > source.limits.max_tree_bytes and not _is_lines(text):
        raise LimitExceeded(f"{source.name} is too large to be read as one JSON value; write it as JSON Lines.")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if not _is_lines(text):
            raise MalformedFile(
                f"{source.name} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
            ) from error
        yield from _lines(source, text)
    except RecursionError as error:
        raise MalformedFile(f"{source.name} is nested too deeply to be read.") from error
    else:
        yield from _objects(value)


def _is_lines(text: str) -> bool:
    """JSON Lines: at least 80 % of the first ten lines with content are values of their own."""
    sample = [line for line in text[:1_000_000].split("\n") if line.strip()][:SAMPLE_LINES]
    return len(sample) > 1 and sum(_parses(line) for line in sample) >= 0.8 * len(sample)


def _parses(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(source: Source, text: str) -> Iterator[Block | Notice]:
    bad: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            bad.append(number)
            continue
        yield from _objects(value)
    if bad:
        lines = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        subject = f"1 line of {source.name} is not valid JSON and was"
        if len(bad) > 1:
            subject = f"{len(bad)} lines of {source.name} are not valid JSON and were"
        yield Notice(f"{subject} left out: {lines}.")


def _objects(value: Any) -> Iterator[Block]:
    """Yield objects of up to OBJECT_CHARACTERS characters; only a single longer value makes a longer object."""
    current: dict[str, Any] = {}
    size = 0
    for path, part, length in _parts(value, ()):
        if current and size + length > OBJECT_CHARACTERS:
            yield Block(_text(current))
            current, size = {}, 0
        if not path:
            yield Block(_text(part) if isinstance(part, dict) else str(part))
            continue
        _insert(current, path, part)
        size += length
    if current:
        yield Block(_text(current))


def _parts(value: Any, path: Path) -> Iterator[tuple[Path, Any, int]]:
    """Yield (path, value, length) of the largest parts that fit. A list is an object keyed by index."""
    length = len(_text(value)) + sum(len(key) + 6 for key in path)
    if length <= OBJECT_CHARACTERS and path:
        yield path, value, length
    elif isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _parts(child, (*path, key))
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _parts(child, (*path, str(index)))
    else:
        yield path, value, length


def _insert(target: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
