"""Changes to the metadata of many documents. Values are told apart by Python's text of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class Anything:
    """Stands for a `match` or `value` that was not given."""


ANYTHING: Final = Anything()


@dataclass(frozen=True, slots=True)
class Update:
    """Set a key; with `match`, replace those of its values that equal it."""

    key: str
    value: Any
    match: Any = ANYTHING


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; with `value`, those of its values that equal it."""

    key: str
    value: Any = ANYTHING


def changed_fields(fields: Mapping[str, Any], updates: Sequence[Update], deletes: Sequence[Delete]) -> dict[str, Any]:
    """Return a document's metadata after all updates and then all deletes."""
    changed = dict(fields)
    for update in updates:
        _update(changed, update)
    for delete in deletes:
        _delete(changed, delete)
    return changed


def _update(fields: dict[str, Any], update: Update) -> None:
    value = _distinct(update.value) if isinstance(update.value, list) else update.value
    if update.match is ANYTHING:
        fields[update.key] = value
        return
    if update.key not in fields:
        return
    current, match = fields[update.key], str(update.match)
    if not isinstance(current, list):
        fields[update.key] = value if str(current) == match else current
    elif match in map(str, current):
        replacement = value if isinstance(value, list) else [value]
        replaced = [replacement if str(element) == match else [element] for element in current]
        fields[update.key] = _distinct(element for elements in replaced for element in elements)


def _delete(fields: dict[str, Any], delete: Delete) -> None:
    if delete.key not in fields:
        return
    if delete.value is ANYTHING:
        del fields[delete.key]
        return
    current, unwanted = fields[delete.key], str(delete.value)
    if not isinstance(current, list):
        if str(current) == unwanted:
            del fields[delete.key]
        return
    kept = [element for element in current if str(element) != unwanted]
    if kept:
        fields[delete.key] = kept
    else:
        del fields[delete.key]


def _distinct(elements: Iterable[Any]) -> list[Any]:
    distinct: dict[str, Any] = {}
    for element in elements:
        distinct.setdefault(str(element), element)
    return list(distinct.values())
