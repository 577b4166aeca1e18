"""What else somebody might search for who searched for this."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.wording import RELATED, RELATED_QUESTIONS, RELATED_TERMS
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import complete
from ragflow.engine.types import Message

logger = logging.getLogger(__name__)

OPTIONS: Mapping[str, Any] = {"temperature": 0.9}
ENTRY = re.compile(r"^\d\. +(\S.*?)[ \t]*$", re.MULTILINE)  # a single digit, as clients of the contract expect
KINDS = {"terms": RELATED_TERMS, "questions": RELATED_QUESTIONS}


async def related(
    model: ChatModel,
    text: str,
    *,
    kind: Literal["terms", "questions"],
    industry: str = "",
    options: Mapping[str, Any] = OPTIONS,
) -> list[str]:
    """Return what to search for next; nothing when the model fails.

    A model that cannot follow instructions is not asked: without one there is nothing honest to propose.
    """
    if not model.can_instruct or not text.strip():
        return []
    rules = RELATED.format(kind=KINDS[kind], industry=f" in the field of {industry}" if industry else "")
    try:
        answer = await complete(model, [Message("system", rules), Message("user", text)], options=options)
    except ModelError as error:
        logger.warning("%s did not propose further searches: %s", model.name, error)
        return []
    return ENTRY.findall(answer.text)
