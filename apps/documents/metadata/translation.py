"""A comparison as a condition of the database.

It says of every value with a form other than `OTHER` exactly what `Comparer` says, on every database: numbers are
doubles, text is compared by code point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

from apps.core.many import among
from apps.documents.metadata.comparison import READS_LITERALS, folded, read_literal
from apps.documents.metadata.condition import Comparison
from apps.documents.metadata.index import MOST_CHARACTERS, Form, double, is_storable

NEVER = Q(pk__in=[])
ALWAYS = ~NEVER
_LOOKUPS: Mapping[str, str] = MappingProxyType({"=": "exact", ">": "gt", "<": "lt", "≥": "gte", "≤": "lte"})


class Untranslatable(Exception):
    """The database would compare the wanted value differently from Python, or cannot take it."""


@dataclass(frozen=True, slots=True)
class _Tests:
    """What values of each form have to satisfy."""

    numbers: Q
    numerals: Q
    words: Q

    def combined(self) -> Q:
        forms = [
            (Q(form=Form.NUMBER), self.numbers),
            (Q(form=Form.NUMERAL), self.numerals),
            (Q(form=Form.WORD, number__isnull=True), self.words),  # what the index has between form and text
        ]
        tests = [form & test for form, test in forms if test is not NEVER]
        return Q(*tests, _connector=Q.OR) if tests else NEVER


def translated(comparison: Comparison, *, typed: bool) -> Q:
    """Return which values satisfy a comparison. `typed`: JSON numbers are not compared as their text.

    Raises Untranslatable.
    """
    operator, wanted = comparison.operator, comparison.value
    if operator in READS_LITERALS:
        return _compared(operator, wanted, typed=typed).combined()
    match operator:
        case "contains" | "in":
            return _inside(wanted, typed=typed).combined()
        case "not contains" | "not in":
            return _outside(wanted, typed=typed).combined()
        case "start with":
            return _everywhere(_text_part("text__startswith", wanted)).combined()
        case "end with":
            return _everywhere(_text_part("text__endswith", wanted)).combined()
        case "empty":
            return _empty(typed=typed).combined()
        case "not empty":
            return _negated(_empty(typed=typed)).combined()
    return NEVER


def _everywhere(test: Q) -> _Tests:
    return _Tests(test, test, test)


def _negated(tests: _Tests) -> _Tests:
    return _Tests(*(ALWAYS if test is NEVER else ~test for test in (tests.numbers, tests.numerals, tests.words)))


def _compared(operator: str, wanted: Any, *, typed: bool) -> _Tests:
    numerals = _compared_number(operator, folded(read_literal(wanted)[0]))
    numbers = _compared_number(operator, wanted) if typed else numerals
    return _Tests(numbers, numerals, _compared_text(operator, folded(wanted)))


def _compared_number(operator: str, wanted: Any) -> Q:
    number = double(wanted)
    is_beyond_doubles = number is None and isinstance(wanted, int | float)  # equal to no double, but more or less
    if isinstance(wanted, complex) or (is_beyond_doubles and operator not in {"=", "≠"}):
        raise Untranslatable
    if number is None:
        return ALWAYS if operator == "≠" else NEVER
    return ~Q(number=number) if operator == "≠" else Q(**{f"number__{_LOOKUPS[operator]}": number})


def _compared_text(operator: str, wanted: Any) -> Q:
    if not isinstance(wanted, str):
        return ALWAYS if operator == "≠" else NEVER
    if not is_storable(wanted):
        raise Untranslatable
    return ~Q(text=wanted) if operator == "≠" else Q(**{f"text__{_LOOKUPS[operator]}": wanted})


def _inside(whole: Any, *, typed: bool) -> _Tests:
    if isinstance(whole, str):
        return _part_of(whole.lower(), typed=typed)
    if not isinstance(whole, list | dict):
        return _everywhere(NEVER)
    texts = [element for element in whole if isinstance(element, str) and is_storable(element)]
    is_text = Q(among("text", texts))
    doubles = [number for element in whole if (number := double(element)) is not None]
    return _Tests(Q(among("number", doubles)) if typed else is_text, is_text, is_text)


def _part_of(whole: str, *, typed: bool) -> _Tests:
    if not is_storable(whole):
        raise Untranslatable
    is_part = Q(GreaterThan(StrIndex(Value(whole), F("text")), 0))
    return _Tests(NEVER if typed else is_part, is_part, is_part)


def _outside(whole: Any, *, typed: bool) -> _Tests:
    """What cannot be compared lies neither inside nor outside."""
    inside = _inside(whole, typed=typed)
    if not isinstance(whole, str | list | dict):
        return inside
    outside = _negated(inside)
    return _Tests(NEVER, outside.numerals, outside.words) if inside.numbers is NEVER else outside


def _text_part(lookup: str, wanted: Any) -> Q:
    part = str(wanted).lower()
    return Q(**{lookup: part}) if len(part) <= MOST_CHARACTERS and is_storable(part) else NEVER


def _empty(*, typed: bool) -> _Tests:
    empty = Q(text="")
    return _Tests(Q(number=0) if typed else empty, empty, empty)
