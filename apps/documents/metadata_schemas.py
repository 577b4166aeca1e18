"""What clients may send to filter, summarise and change metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from apps.core.errors import BadValue, DataError, MissingArguments
from apps.core.validation import integer, number
from apps.documents.metadata.changes import ANYTHING, Delete, Update
from apps.documents.metadata.condition import Condition, read_condition


def condition_of(query: Mapping[str, str]) -> Condition | None:
    """Read the condition of a document list, which is JSON within the query string. Raises DataError, BadValue."""
    text = query.get("metadata_condition")
    if not text:
        return None
    try:
        return read_condition(orjson.loads(text))
    except orjson.JSONDecodeError:
        raise DataError("metadata_condition must be valid JSON.") from None


def summarised_ids(payload: Mapping[str, Any]) -> list[str] | None:
    """Read which documents a summary is about; None: all of the dataset. Raises BadValue."""
    ids = payload.get("doc_ids")
    if not ids:
        return None
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
        raise BadValue(f"`doc_ids` must be a list of ids, not {ids!r}.")
    return ids


@dataclass(frozen=True, slots=True)
class MetadataUpdate:
    document_ids: list[Any]  # empty: not named
    condition: dict[str, Any]  # as it was sent: the documents that are named are looked up first
    updates: list[Update]
    deletes: list[Delete]


def metadata_update(payload: Mapping[str, Any]) -> MetadataUpdate:
    """Read a change of metadata, in the contract's order of checks. Raises DataError, BadValue."""
    selector = payload.get("selector") or {}
    updates, deletes = payload.get("updates") or [], payload.get("deletes") or []
    if not isinstance(selector, dict):
        raise DataError("selector must be an object.")
    if not isinstance(updates, list) or not isinstance(deletes, list):
        raise DataError("updates and deletes must be lists.")
    condition, ids = selector.get("metadata_condition") or {}, selector.get("document_ids") or []
    if not isinstance(condition, dict):
        raise DataError("metadata_condition must be an object.")
    if not isinstance(ids, list):
        raise DataError("document_ids must be a list.")
    return MetadataUpdate(
        document_ids=ids,
        updates=[_update(item) for item in updates],
        deletes=[_delete(item) for item in deletes],
        condition=condition,
    )


def _update(item: Any) -> Update:
    if not isinstance(item, dict) or not item.get("key") or "value" not in item:
        raise DataError("Each update requires key and value.")
    return Update(_key(item["key"]), item["value"], item.get("match", ANYTHING))


def _delete(item: Any) -> Delete:
    if not isinstance(item, dict) or not item.get("key"):
        raise DataError("Each delete requires key.")
    return Delete(_key(item["key"]), item.get("value", ANYTHING))


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise BadValue(f"The key of metadata must be text, not {key!r}.")
    return key


@dataclass(frozen=True, slots=True)
class DifyQuestion:
    dataset_id: str
    text: str
    top_k: int  # candidates, and records of the answer
    score_threshold: float


def dify_question(payload: Mapping[str, Any]) -> DifyQuestion:
    """Read what the contract checks of a retrieval of Dify before the dataset. Raises MissingArguments, BadValue.

    Dify tries an address out with an empty request, or an empty id; it is content to hear what is missing.
    """
    missing = [name for name in ("knowledge_id", "query") if name not in payload]
    if payload.get("knowledge_id") == "":
        missing = ["knowledge_id", *(name for name in missing if name != "knowledge_id")]
    if missing:
        raise MissingArguments(missing)
    query = payload["query"]
    if not isinstance(query, str):
        raise BadValue(f"`query` must be text, not {query!r}.")
    setting = payload.get("retrieval_setting", {})
    if not isinstance(setting, dict):
        reference = repr(AttributeError(f"'{type(setting).__name__}' object has no attribute 'get'"))
        raise BadValue("`retrieval_setting` must be an object.", reference=reference)
    return DifyQuestion(
        dataset_id=str(payload["knowledge_id"]),
        text=query,
        top_k=integer("retrieval_setting.top_k", setting.get("top_k", 1024)),
        score_threshold=number("retrieval_setting.score_threshold", setting.get("score_threshold", 0.0)),
    )
