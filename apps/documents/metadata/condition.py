"""A metadata condition as clients send it.

{"logic": "and", "conditions": [{"name": "author", "comparison_operator": "is", "value": "alice"}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from apps.core.errors import BadValue, DataError
from apps.core.wire_profile import profile
from apps.documents.metadata.comparison import OPERATORS, TAKES_NO_VALUE

MOST_COMPARISONS = 100
MOST_KEYS = 100  # of one comparison

_WORDS: Mapping[str, str] = MappingProxyType({"is": "=", "not is": "≠"})
_FURTHER_WORDS: Mapping[str, str] = MappingProxyType(
    {"==": "=", "!=": "≠", ">=": "≥", "<=": "≤", "is not": "≠", "before": "<", "after": ">"}
)
"""What other programs write, Dify among them. Where the reference is followed to the letter they match nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    keys: tuple[str, ...]  # one of them has to satisfy it; none: nothing does
    operator: str  # of `comparison.OPERATORS`; any other is satisfied by nothing
    value: Any


@dataclass(frozen=True, slots=True)
class Condition:
    """What documents have to satisfy: all comparisons, or at least one of them."""

    comparisons: tuple[Comparison, ...]
    needs_all: bool = True

    @property
    def restricts(self) -> bool:
        """Whether a search is restricted. The reference finds nothing for an object without comparisons."""
        return bool(self.comparisons) or profile().metadata_quirks


def read_condition(sent: Any) -> Condition | None:
    """Read a condition; None if there is none. Raises DataError for what is no object, BadValue for mistakes in it."""
    if not sent:
        return None
    if not isinstance(sent, dict):
        raise DataError("metadata_condition must be an object.")
    conditions = sent.get("conditions", [])
    if not isinstance(conditions, list):
        raise BadValue(
            "`metadata_condition.conditions` must be a list.",
            reference=repr(TypeError(f"'{type(conditions).__name__}' object is not iterable")),
        )
    if len(conditions) > MOST_COMPARISONS:
        raise BadValue(f"`metadata_condition.conditions` must not hold more than {MOST_COMPARISONS} conditions.")
    comparisons = tuple(_comparison(number, item) for number, item in enumerate(conditions))
    return Condition(comparisons, needs_all=_needs_all(sent))


def _needs_all(sent: Mapping[str, Any]) -> bool:
    if profile().metadata_quirks:
        return bool(sent.get("logic", "and") == "and")
    logic = sent.get("logic", sent.get("logical_operator", "and"))  # the second name is Dify's
    if logic is None:
        return False
    word = logic.lower() if isinstance(logic, str) else logic
    if word not in ("and", "or"):
        raise BadValue(f'`metadata_condition.logic` must be "and" or "or", not {logic!r}.')
    return bool(word == "and")


def _comparison(number: int, item: Any) -> Comparison:
    place = f"metadata_condition.conditions[{number}]"
    if not isinstance(item, dict):
        raise BadValue(
            f"`{place}` must be an object.",
            reference=repr(TypeError(f"'{type(item).__name__}' object is not subscriptable")),
        )
    word = _required(place, item, "comparison_operator")
    name = _required(place, item, "name")
    operator = _operator(place, word)
    needs_value = profile().metadata_quirks or operator not in TAKES_NO_VALUE
    value = _required(place, item, "value") if needs_value else item.get("value")
    return Comparison(_keys(place, name), operator, value)


def _required(place: str, item: Mapping[str, Any], key: str) -> Any:
    if key not in item:
        raise BadValue(f"`{place}` has no `{key}`.", reference=repr(KeyError(key)))
    return item[key]


def _operator(place: str, word: Any) -> str:
    if not isinstance(word, str):
        unhashable = isinstance(word, list | dict)
        reference = repr(TypeError(f"unhashable type: '{type(word).__name__}'")) if unhashable else None
        raise BadValue(f"`{place}.comparison_operator` must be text, not {word!r}.", reference=reference)
    if profile().metadata_quirks:
        return _WORDS.get(word, word)
    operator = _WORDS.get(word) or _FURTHER_WORDS.get(word, word)
    if operator not in OPERATORS:
        known = ", ".join([*_WORDS, *OPERATORS])
        raise BadValue(f"`{place}.comparison_operator` must be one of {known}; not {word!r}.")
    return operator


def _keys(place: str, name: Any) -> tuple[str, ...]:
    """Return the keys that a name stands for. Dify sends a list of them."""
    if isinstance(name, str):
        return (name,)
    if profile().metadata_quirks:
        return ()
    if not isinstance(name, list) or not name or not all(isinstance(key, str) for key in name):
        raise BadValue(f"`{place}.name` must be the name of a metadata field, not {name!r}.")
    if len(name) > MOST_KEYS:
        raise BadValue(f"`{place}.name` must not hold more than {MOST_KEYS} names.")
    return tuple(name)
