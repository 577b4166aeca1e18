"""Datasets as the contract shows them."""

from __future__ import annotations

from typing import Any

from apps.core.clock import timestamps
from apps.datasets.models import KnowledgeBase

BACKGROUND_TASKS = {
    f"{kind}_task_{field}": None for kind in ("graphrag", "raptor", "mindmap") for field in ("id", "finish_at")
}
"""What the contract shows of work on a whole dataset, of which there is none here."""


def dataset_to_wire(dataset: KnowledgeBase) -> dict[str, Any]:
    return {
        "id": dataset.pk,
        "name": dataset.name,
        "avatar": dataset.avatar,
        "description": dataset.description,
        "tenant_id": dataset.tenant_id,
        "created_by": dataset.tenant_id,
        "language": dataset.language,
        "permission": dataset.permission,
        "embedding_model": dataset.embedding_model,
        "chunk_method": dataset.chunk_method,
        "pipeline_id": dataset.pipeline_id,
        "parser_config": dataset.parser_config,
        "pagerank": dataset.pagerank,
        "document_count": dataset.document_count,
        "chunk_count": dataset.chunk_count,
        "token_num": dataset.token_count,
        "similarity_threshold": dataset.similarity_threshold,
        "vector_similarity_weight": dataset.vector_similarity_weight,
        "status": "1",
        **BACKGROUND_TASKS,
        **timestamps(dataset.created_at, dataset.updated_at),
    }
