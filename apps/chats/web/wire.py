"""Assistants by the contract's stored names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.accounts.models import User
from apps.chats.models import Assistant
from apps.chats.search_config import without_key
from apps.chats.wire import owner_to_wire
from apps.core.clock import timestamps
from apps.datasets.models import KnowledgeBase

_CREATED = (
    *("id", "tenant_id", "name", "description", "llm_id", "llm_setting", "prompt_config", "meta_data_filter", "top_n"),
    *("top_k", "rerank_id", "similarity_threshold", "vector_similarity_weight", "icon"),
)
_PAGED = (
    *("id", "tenant_id", "name", "description", "language", "llm_id", "llm_setting", "prompt_type", "prompt_config"),
    *("similarity_threshold", "vector_similarity_weight", "top_n", "top_k", "do_refer", "rerank_id", "kb_ids", "icon"),
    *("status", "update_time", "create_time"),
)


def dialog_to_wire(assistant: Assistant, datasets: Sequence[KnowledgeBase], *, with_key: bool) -> dict[str, Any]:
    """Return the whole record of a dialog, with the datasets that exist; without the key of web searches if need be."""
    config = assistant.prompt_config
    return {
        "id": assistant.pk,
        "tenant_id": assistant.tenant_id,
        "name": assistant.name,
        "description": assistant.description,
        "icon": assistant.avatar,
        "language": assistant.language,
        "llm_id": assistant.chat_model,
        "llm_setting": assistant.generation_options,
        "prompt_type": assistant.prompt_type,
        "prompt_config": config if with_key else without_key(config),
        "meta_data_filter": assistant.metadata_filter,
        "similarity_threshold": assistant.similarity_threshold,
        "vector_similarity_weight": assistant.vector_similarity_weight,
        "top_n": assistant.top_n,
        "top_k": assistant.top_k,
        "do_refer": assistant.do_refer,
        "rerank_id": assistant.rerank_model,
        "status": "1" if assistant.deleted_at is None else "0",
        **timestamps(assistant.created_at, assistant.updated_at),
        "kb_ids": [dataset.pk for dataset in datasets],
        "kb_names": [dataset.name for dataset in datasets],
    }


def created_dialog_to_wire(assistant: Assistant, *, named: Sequence[Any]) -> dict[str, Any]:
    """Return a new dialog; `named` are the datasets as the request named them."""
    record = dialog_to_wire(assistant, (), with_key=True)
    return {**{name: record[name] for name in _CREATED}, "kb_ids": list(named)}


def paged_dialog_to_wire(
    assistant: Assistant, datasets: Sequence[KnowledgeBase], owner: User | None, *, with_key: bool
) -> dict[str, Any]:
    record = dialog_to_wire(assistant, datasets, with_key=with_key)
    return {**{name: record[name] for name in _PAGED}, **owner_to_wire(owner)}
