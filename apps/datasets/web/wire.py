"""Datasets by the contract's stored names."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import User
from apps.core.clock import timestamps
from apps.datasets.models import KnowledgeBase
from apps.datasets.wire import BACKGROUND_TASKS


def stored_dataset_to_wire(dataset: KnowledgeBase) -> dict[str, Any]:
    """Return the whole record of a dataset."""
    return {
        "id": dataset.pk,
        "avatar": dataset.avatar,
        "tenant_id": dataset.tenant_id,
        "name": dataset.name,
        "language": dataset.language,
        "description": dataset.description,
        "embd_id": dataset.embedding_model,
        "permission": dataset.permission,
        "created_by": dataset.tenant_id,
        "doc_num": dataset.document_count,
        "token_num": dataset.token_count,
        "chunk_num": dataset.chunk_count,
        "similarity_threshold": dataset.similarity_threshold,
        "vector_similarity_weight": dataset.vector_similarity_weight,
        "parser_id": dataset.chunk_method,
        "pipeline_id": dataset.pipeline_id,
        "parser_config": dataset.parser_config,
        "pagerank": dataset.pagerank,
        **BACKGROUND_TASKS,
        "status": "1",
        **timestamps(dataset.created_at, dataset.updated_at),
    }


_LISTED = (
    *("id", "avatar", "name", "language", "description", "tenant_id", "permission"),
    *("doc_num", "token_num", "chunk_num", "parser_id", "embd_id", "update_time"),
)
_NOT_SHOWN = {
    *("tenant_id", "created_by", "similarity_threshold", "vector_similarity_weight", "status"),
    *("create_date", "update_date"),
}


def listed_dataset_to_wire(dataset: KnowledgeBase, owner: User | None) -> dict[str, Any]:
    record = stored_dataset_to_wire(dataset)
    return {
        **{name: record[name] for name in _LISTED},
        "nickname": owner.nickname if owner else "",
        "tenant_avatar": owner.avatar if owner else None,
    }


def shown_dataset_to_wire(dataset: KnowledgeBase, *, size: int) -> dict[str, Any]:
    """Return one dataset with the size of its files in bytes. Connectors and pipelines do not exist here."""
    record = stored_dataset_to_wire(dataset)
    return {
        **{name: value for name, value in record.items() if name not in _NOT_SHOWN},
        "parser_config": {**dataset.parser_config, "metadata": metadata_schema(dataset.parser_config.get("metadata"))},
        "pipeline_name": "",
        "pipeline_avatar": None,
        "size": size,
        "connectors": [],
    }


def metadata_schema(described: Any) -> dict[str, Any]:
    """Return the description of a dataset's metadata as a JSON schema, from a list of keys or from a schema."""
    if isinstance(described, dict) and described.get("type") == "object":
        return described
    if not isinstance(described, list):
        return {}
    entries = [entry for entry in described if isinstance(entry, dict) and entry.get("key")]
    return {
        "type": "object",
        "properties": {str(entry["key"]): _property(entry) for entry in entries},
        "additionalProperties": False,
    }


def _property(entry: dict[str, Any]) -> dict[str, Any]:
    described = {"description": entry.get("description") or ""}
    return described | ({"type": "string", "enum": entry["enum"]} if entry.get("enum") else {})
