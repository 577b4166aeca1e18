"""Retrieved passages as the text that stands for {knowledge} in a prompt.

The layout is the contract's: it is what makes [ID:n] in an answer mean the n-th passage. Passages come from documents
of strangers, so what looks like this layout inside them is changed before a model sees it; what is cited later is the
stored text, not this one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragflow.engine.tokens import count_tokens, truncate_tokens
from ragflow.engine.types import Passage

SEPARATOR = "\n------\n"

FRAME_LINE = re.compile(r"^(?=[ \t]*(?:ID[ \t]*[:：][ \t]*\d|[├└]──|-{6,}[ \t]*$))", re.MULTILINE)
MARKER_COLON = re.compile(r"([\[(【]\s*ID)\s*[:：]\s*(?=\d)", re.IGNORECASE)
CONTROL_TOKEN = re.compile(r"<(?=\|\w+\|>)")  # of chat templates, such as <|im_end|>
TAG_NAME = re.compile(r"</?([A-Za-z][\w-]*)>")


@dataclass(frozen=True, slots=True)
class Knowledge:
    text: str
    shown: int  # how many passages, from the first on, the text holds


def knowledge(
    passages: Sequence[Passage], metadata: Mapping[str, Mapping[str, Any]], *, limit: int, template: str = ""
) -> Knowledge:
    """Return as many whole passages as fit into `limit` tokens, best first; the first one is cut if it must be.

    `metadata` is that of the documents, by id. Tags that `template` puts around the knowledge cannot be closed by it.
    """
    tags = frozenset(TAG_NAME.findall(template))
    blocks: list[str] = []
    room = limit
    for number, passage in enumerate(passages):
        block = _block(number, passage, metadata.get(passage.chunk.document_id, {}), tags)
        room -= count_tokens(block) + (count_tokens(SEPARATOR) if blocks else 0)
        if room < 0:
            break
        blocks.append(block)
    if passages and not blocks:
        blocks = [truncate_tokens(_block(0, passages[0], {}, tags), limit)]
    return Knowledge(SEPARATOR.join(blocks), len(blocks))


def _block(number: int, passage: Passage, metadata: Mapping[str, Any], tags: frozenset[str]) -> str:
    fields = {"Title": passage.chunk.document_name, **({"URL": passage.url} if passage.url else {}), **metadata}
    lines = [f"├── {_line(key, tags)}: {_line(value, tags)}" for key, value in fields.items()]
    return "\n".join([f"ID: {number}", *lines, "└── Content:", _harmless(passage.chunk.content, tags)])


def _line(value: object, tags: frozenset[str]) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return _harmless(" ".join(text.split()), tags)


def _harmless(text: str, tags: frozenset[str]) -> str:
    """Change what a model could take for the frame of the knowledge; everything else stays as it is."""
    text = FRAME_LINE.sub("> ", text)
    text = MARKER_COLON.sub(r"\1 ", text)
    text = CONTROL_TOKEN.sub("< ", text)
    for tag in tags:
        text = re.sub(rf"<(?=/?{re.escape(tag)}>)", "< ", text, flags=re.IGNORECASE)
    return text
