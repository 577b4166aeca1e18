"""Which documents a conversation may answer from: conditions that were sent or saved, and one that a model derives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils import timezone

from apps.core.errors import BadValue
from apps.core.threads import in_database
from apps.documents.metadata.condition import Condition, read_condition
from apps.documents.metadata.filtering import Restriction, matching_documents
from apps.documents.metadata.summary import common_values
from ragflow.engine.generation.metadata import derive_filter
from ragflow.engine.llm.base import ChatModel

_MANUAL_KEYS = (("key", "name"), ("op", "comparison_operator"), ("value", "value"))


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """Conditions that all have to hold, and whether a model looks for a further one in the question."""

    conditions: tuple[Condition, ...] = ()
    derives: bool = False
    keys: tuple[str, ...] | None = None  # that the model may use; None: all
    model: ChatModel | None = None

    async def documents(
        self, dataset_ids: Sequence[str], question: str, *, among_ids: tuple[str, ...] | None
    ) -> Restriction | None:
        """Return the documents that may be found, None for no restriction. They are looked up when the search begins.

        `among_ids` restricts them further.
        """
        derived = await self._derived(dataset_ids, question)
        conditions = (*self.conditions, derived) if derived else self.conditions
        if not conditions:
            return None
        return await in_database(partial(matching_documents, dataset_ids, *conditions, among_ids=among_ids))

    async def _derived(self, dataset_ids: Sequence[str], question: str) -> Condition | None:
        if not self.derives or self.model is None or not self.model.can_instruct:
            return None
        known = await in_database(common_values, dataset_ids, self.keys)
        return read_condition(await derive_filter(self.model, question, known, today=timezone.localdate()))


NO_FILTER = MetadataFilter()


def read_filter(saved: Mapping[str, Any], model: ChatModel, *, sent: Condition | None = None) -> MetadataFilter:
    """Read the `meta_data_filter` of an assistant or a search, beside a condition of the request. Raises BadValue."""
    conditions = (sent,) if sent and sent.comparisons else ()
    match saved.get("method"):
        case None | "" | "disabled":
            return MetadataFilter(conditions)
        case "auto":
            return MetadataFilter(conditions, derives=True, model=model)
        case "semi_auto":
            return MetadataFilter(conditions, derives=True, keys=_keys(saved.get("semi_auto")), model=model)
        case "manual":
            manual = _manual(saved)
            return MetadataFilter((*conditions, manual) if manual.comparisons else conditions)
        case other:
            raise BadValue(f'`meta_data_filter.method` must be "auto", "semi_auto" or "manual", not {other!r}.')


def _keys(selected: Any) -> tuple[str, ...]:
    """Read the fields of a semi-automatic filter: names, or objects with a `key`."""
    items = selected if isinstance(selected, list) else [selected] if selected else []
    named = [item.get("key") if isinstance(item, dict) else item for item in items]
    keys = tuple(key for key in named if isinstance(key, str))
    if len(keys) < len(named):
        raise BadValue(f"`meta_data_filter.semi_auto` must be a list of metadata fields, not {selected!r}.")
    return keys


def _manual(saved: Mapping[str, Any]) -> Condition:
    items = saved.get("manual") or []
    if not isinstance(items, list):
        raise BadValue(f"`meta_data_filter.manual` must be a list, not {items!r}.")
    conditions = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadValue(f"`meta_data_filter.manual[{number}]` must be an object.")
        conditions.append({name: item[key] for key, name in _MANUAL_KEYS if key in item})
    logic = {"logic": saved["logic"]} if saved.get("logic") else {}
    return read_condition({"conditions": conditions} | logic) or Condition(())
