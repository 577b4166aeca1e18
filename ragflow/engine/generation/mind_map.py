"""What a search found, as a tree: drawn by a model, or without one the headings and first lines of the passages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragflow.engine.generation.prompt import compose
from ragflow.engine.generation.turn import Turn
from ragflow.engine.generation.wording import MIND_MAP
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import complete
from ragflow.engine.types import Passage

OPTIONS: Mapping[str, Any] = {"temperature": 0.5}
DEEPEST = 6  # levels; what lies deeper is drawn there
MOST_NODES = 300
LONGEST_TEXT = 120  # characters of a node
TAB = 4  # columns

HEADING = re.compile(r"(#{1,6})\s+(?P<text>\S.*)")
ITEM = re.compile(r"(?P<indent>\s*)(?:[-*+•]|\d{1,3}[.)])\s+(?P<text>\S.*)")
FENCE = re.compile(r"\s*(?:```|~~~)")
MARKUP = re.compile(r"\*\*|__|`|\[ID:\d+\]")


@dataclass(slots=True)
class Node:
    text: str
    children: list[Node] = field(default_factory=list)


async def mind_map(model: ChatModel, topic: str, passages: Sequence[Passage]) -> Node:
    """Return a map of what the passages say about a topic. Raises ModelError.

    A model that cannot follow instructions, or whose answer is no outline, is replaced by `outline_of`.
    """
    if not passages:
        return Node(_short(topic))
    if not model.can_instruct:
        return outline_of(topic, passages)
    turn = Turn(question=topic, system=MIND_MAP, quote=False, options=OPTIONS)
    prompt = await asyncio.to_thread(compose, turn, passages, model.context_tokens)
    answer = await complete(model, prompt.messages, options=prompt.options)
    return parse_outline(answer.text, title=topic) or outline_of(topic, passages)


def outline_of(topic: str, passages: Sequence[Passage]) -> Node:
    """Return the documents of the passages, and under each the headings or else the first lines of its passages."""
    documents: dict[str, Node] = {}
    for passage in passages:
        document = documents.setdefault(passage.chunk.document_id, Node(_short(passage.chunk.document_name)))
        known = {child.text for child in document.children}
        document.children += [Node(text) for text in _headlines(passage.chunk.content) if text not in known]
    return Node(_short(topic), list(documents.values()))


def _headlines(content: str) -> list[str]:
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    headings = [_short(match["text"]) for line in lines if (match := HEADING.fullmatch(line))]
    return list(dict.fromkeys(headings)) or [_short(line) for line in lines[:1]]


def parse_outline(text: str, *, title: str) -> Node | None:
    """Read a Markdown outline of headings and nested lists. Other lines are left out; None when nothing is left.

    A single entry at the top is the root; several get one with this title.
    """
    root = Node(_short(title))
    path: list[tuple[int, Node]] = [(-1, root)]
    for number, (depth, content) in enumerate(_entries(text)):
        if number == MOST_NODES:
            break
        while path[-1][0] >= depth or len(path) > DEEPEST:
            path.pop()
        node = Node(content)
        path[-1][1].children.append(node)
        path.append((depth, node))
    if len(root.children) == 1:
        return root.children[0]
    return root if root.children else None


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield depth and text of each line: headings by their level, items below the heading they follow."""
    level = 0
    for line in text.splitlines():
        if FENCE.match(line):
            continue
        if match := HEADING.fullmatch(line.strip()):
            level = len(match[1])
            depth = level
        elif match := ITEM.fullmatch(line.rstrip()):
            depth = level + 1 + len(match["indent"].expandtabs(TAB))
        else:
            continue
        if content := _short(match["text"]):
            yield depth, content


def _short(text: str) -> str:
    """Return the text on one line, without Markdown, shortened."""
    text = " ".join(MARKUP.sub("", text).split())
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT].rsplit(' ', 1)[0]} …"
