"""What a model does about metadata: derive a filter from a question, and read values from a text.

Its answers are JSON, taken apart with distrust: only fields that were asked about, only operators and values of the
forms that were named.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.wording import EXTRACT, FILTER
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import complete
from ragflow.engine.types import Message

logger = logging.getLogger(__name__)

OPERATORS = ("=", "≠", ">", "<", "≥", "≤", "in", "not in", "start with", "end with")
OPTIONS: Mapping[str, Any] = {"temperature": 0}
LONGEST_SHOWN = 80
"""Characters of a value that a model is shown."""


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A piece of metadata to look for in texts."""

    key: str
    description: str = ""
    choices: tuple[str, ...] = ()  # the values it may have; none: any

    @property
    def line(self) -> str:
        described = f": {self.description}" if self.description else ""
        return f"- {self.key}{described}" + (f" (one of: {', '.join(self.choices)})" if self.choices else "")


async def derive_filter(
    model: ChatModel, question: str, known: Mapping[str, Sequence[Any]], *, today: date
) -> dict[str, Any]:
    """Return what a question asks of metadata: `{"logic", "conditions": [{"name", "comparison_operator", "value"}]}`.

    `known` has the fields with some of their values. Nothing when the question asks nothing of them, when the model
    fails, or when it cannot follow instructions: then it is not asked.
    """
    if not model.can_instruct or not question.strip() or not known:
        return {}
    fields = "\n".join(f"- {key}: {_shown(values)}" for key, values in known.items())
    rules = FILTER.format(today=today, operators=", ".join(OPERATORS), fields=fields)
    try:
        answer = await complete(model, [Message("system", rules), Message("user", question)], options=OPTIONS)
    except ModelError as error:
        logger.warning("%s did not derive a filter: %s", model.name, error)
        return {}
    sent = _object_in(answer.text)
    items = sent.get("conditions")
    conditions = list(_conditions(items, known)) if isinstance(items, list) else []
    if not conditions:
        return {}
    return {"logic": "or" if sent.get("logic") == "or" else "and", "conditions": conditions}


async def extract_metadata(model: ChatModel, text: str, fields: Sequence[MetadataField]) -> dict[str, str | list[str]]:
    """Return what a text says about these fields; those it does not speak of are left out. Raises ModelError."""
    rules = EXTRACT.format(fields="\n".join(field.line for field in fields))
    answer = await complete(model, [Message("system", rules), Message("user", text)], options=OPTIONS)
    sent = _object_in(answer.text)
    found = ((field.key, _texts(sent.get(field.key))) for field in fields)
    return {key: value for key, value in found if value}


def _shown(values: Sequence[Any]) -> str:
    shown = (value[:LONGEST_SHOWN] if isinstance(value, str) else value for value in values)
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in shown)


def _conditions(items: Sequence[Any], known: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        if not isinstance(item, dict):
            continue
        name, operator, value = item.get("name"), item.get("comparison_operator"), item.get("value")
        if not isinstance(name, str) or name not in known or operator not in OPERATORS or not _is_value(value):
            continue
        if isinstance(value, list):  # elements of a list are compared as they are, with values in lower case
            value = [element.lower() if isinstance(element, str) else element for element in value]
        yield {"name": name, "comparison_operator": operator, "value": value}


def _is_value(value: Any) -> bool:
    elements = value if isinstance(value, list) else [value]
    return bool(elements) and all(isinstance(element, str | int | float) for element in elements)


def _texts(value: Any) -> str | list[str]:
    if isinstance(value, str):
        return value.replace("\0", "").strip()
    if isinstance(value, list):
        return [text for element in value if isinstance(element, str) and (text := element.replace("\0", "").strip())]
    return ""


def _object_in(text: str) -> dict[str, Any]:
    """Return the JSON object of an answer, which may stand between other words; an empty one if there is none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
