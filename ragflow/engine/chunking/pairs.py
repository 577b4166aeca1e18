"""Chunks that are a question with its answer."""

from __future__ import annotations

import re

_PIECE_END = re.compile(r"[\n\t]")
_LABEL = re.compile(r"(?:question|answer|user|assistant|问题|答案|回答|问|答|q|a) *[:：]\s*", re.IGNORECASE)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def labelled_pair(text: str) -> str | None:
    """Return the text of a question and its answer with both labelled: `Question: ...<TAB>Answer: ...`.

    They stand on two lines, or before and after a tab; single characters between them do not count. Labels that they
    have already are replaced. Returns None when there are not exactly two pieces.
    """
    pieces = [piece for piece in _PIECE_END.split(text) if len(piece) > 1]
    if len(pieces) != 2:
        return None
    question, answer = (_unlabelled(piece.strip()) for piece in pieces)
    if _CHINESE.search(question + answer):
        return f"问题：{question}\t回答：{answer}"
    return f"Question: {question}\tAnswer: {answer}"


def _unlabelled(piece: str) -> str:
    label = _LABEL.match(piece)
    return piece[label.end() :] if label else piece
