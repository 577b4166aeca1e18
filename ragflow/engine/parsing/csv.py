"""CSV files; the separator is found by looking at the first rows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from ragflow.engine.errors import MalformedFile
from ragflow.engine.parsing.rows import row_blocks
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import read_text
from ragflow.engine.types import Block, Notice

SEPARATORS = ",\t;|"
SAMPLE_ROWS = 30
LINES_PER_NOTICE = 500
MAX_FIELD = 10_000_000  # characters; the module's own limit of 131072 refuses honest files


def read(source: Source) -> Iterator[Block | Notice]:
    text = read_text(source)
    csv.field_size_limit(MAX_FIELD)  # one setting for the process, and nothing else in it reads CSV
    separator = "\t" if source.extension == "txt" else separator_of(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    lines, told = text.count("\n") + 1, 0
    try:
        for item in row_blocks(source, rows):
            yield item
            if rows.line_num - told >= LINES_PER_NOTICE:
                told = rows.line_num
                yield Notice(fraction=told / lines)
    except csv.Error as error:
        raise MalformedFile(f"{source.name} is not valid CSV: {error} at line {rows.line_num}.") from error


def separator_of(text: str) -> str:
    """Return the separator that gives the most rows of one same width above 1; a comma if none does."""

    def agreement(separator: str) -> tuple[int, int]:
        rows = csv.reader(io.StringIO(text[:200_000], newline=""), delimiter=separator)
        widths = Counter(len(row) for row in islice(rows, SAMPLE_ROWS) if len(row) > 1)
        width, count = widths.most_common(1)[0] if widths else (0, 0)
        return count, width

    return max(SEPARATORS, key=agreement)
