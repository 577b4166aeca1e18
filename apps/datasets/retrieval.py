"""Retrieval from datasets as they are at the moment.

A re-embedding may give a dataset another model after it was read and before it is searched. Until their space is
cleared the old vectors are still there, but chunks written since then have none: a search that meets one begins again
with the new model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apps.accounts.language_models import embedder_for
from apps.core.wire_profile import profile
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.errors import VectorsMissing
from ragflow.engine.registry import ModelSpec
from ragflow.engine.rerank.base import Reranker
from ragflow.engine.retrieval import RetrievalRequest, retrieve
from ragflow.engine.types import Retrieval


def share_a_model(datasets: Sequence[KnowledgeBase]) -> bool:
    """Tell whether one question can be compared with the chunks of all these datasets, at least one."""
    return len({ModelSpec.parse(dataset.embedding_model).model for dataset in datasets}) == 1


def retrieve_from(
    datasets: Sequence[KnowledgeBase], request: RetrievalRequest, *, reranker: Reranker | None = None
) -> Retrieval:
    """Answer a question from datasets that share a model; `request` need not say anything about them. Blocking.

    Raises ModelNotFound, InvalidQuery, ModelError, StoreError.
    """
    aimed, embedder = aim(request, datasets)
    try:
        return retrieve(doc_store(), aimed, embedder=embedder, reranker=reranker)
    except VectorsMissing:
        aimed, embedder = aim_again(aimed)
        return retrieve(doc_store(), aimed, embedder=embedder, reranker=reranker)


def aim(request: RetrievalRequest, datasets: Sequence[KnowledgeBase]) -> tuple[RetrievalRequest, Embedder]:
    """Return the request to datasets that share a model, and that model. Raises ModelNotFound."""
    aimed = replace(
        request,
        dataset_ids=tuple(dataset.pk for dataset in datasets),
        pageranks={dataset.pk: dataset.pagerank for dataset in datasets},
        spaces={dataset.pk: dataset.vector_space for dataset in datasets},
        candidates=profile().retrieval_candidates,
    )
    return aimed, embedder_for(datasets[0].embedding_model, datasets[0].tenant_id)


def aim_again(request: RetrievalRequest) -> tuple[RetrievalRequest, Embedder]:
    """Return the same for the datasets of a request as they are now.

    Raises VectorsMissing if they are gone or share no model any more, else as `aim`.
    """
    found = KnowledgeBase.objects.in_bulk(request.dataset_ids)
    datasets = [found[id_] for id_ in request.dataset_ids if id_ in found and found[id_].deleted_at is None]
    if not share_a_model(datasets):
        raise VectorsMissing
    return aim(request, datasets)
