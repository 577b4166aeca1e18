"""Writing assistants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from apps.accounts import audit, language_models
from apps.accounts.models import Tenant
from apps.accounts.selectors import tenant_of
from apps.chats.models import Assistant, AssistantDataset, default_generation_options
from apps.chats.prompt_config import check_variables, completed
from apps.chats.schemas import AssistantData, unrecognized
from apps.chats.selectors import assignable_datasets, assistants_of
from apps.chats.services.deleting import Deletion, delete_named
from apps.core.errors import Conflict, DataError, NotFound
from apps.core.names import name_key
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.retrieval import share_a_model
from ragflow.engine.generation.wording import DEFAULT_SYSTEM

# Rerank models that clients of the contract name without having configured them.
_KNOWN_RERANKERS = frozenset({"BAAI/bge-reranker-v2-m3", "maidalun1020/bce-reranker-base_v1"})


class EmbeddingsDiffer(DataError):
    """Vectors of different models cannot be compared, so their datasets cannot be searched together."""

    code = 109

    def __init__(self) -> None:
        super().__init__('Datasets use different embedding models."')


def default_system_prompt() -> str:
    return settings.DEFAULT_SYSTEM_PROMPT or DEFAULT_SYSTEM


def create_assistant(*, principal: Principal, data: AssistantData) -> Assistant:
    """Create an assistant. The order of the checks is part of the contract.

    Raises NotFound, DataError, Conflict and BadValue.
    """
    datasets = _usable_datasets(principal, [element for element in data.dataset_ids or () if element])
    tenant = tenant_of(principal)
    _check_models(tenant, data)
    if not data.columns.get("name"):
        raise DataError("`name` is required.")
    _check_name(assistants_of(principal), data.columns["name"], "Duplicated chat name in creating chat.")
    if data.names_tenant:
        raise DataError("`tenant_id` must not be provided.")
    config = completed(data.prompt_config, default_system=default_system_prompt())
    check_variables(config)
    assistant = Assistant(
        tenant=tenant,
        chat_model=data.model_name or language_models.default_chat_name(tenant),
        generation_options=default_generation_options() if data.options is None else data.options,
        **data.columns,
    )
    assistant.prompt_config = config
    _save(assistant, datasets, "Duplicated chat name in creating chat.", action="create")
    return assistant


@transaction.atomic
def update_assistant(*, principal: Principal, assistant: Assistant, data: AssistantData) -> Assistant:
    """Change what the data names; the prompt and the generation options are merged into the stored ones.

    Raises NotFound, DataError, Conflict and BadValue.
    """
    assistant = _locked(principal, assistant)  # merge into what is stored now
    datasets = None if data.dataset_ids is None else _usable_datasets(principal, data.dataset_ids, assistant)
    _check_models(assistant.tenant, data)
    if "name" in data.columns:
        if not data.columns["name"]:
            raise DataError("`name` cannot be empty.")
        others = assistants_of(principal).exclude(pk=assistant.pk)
        _check_name(others, data.columns["name"], "Duplicated chat name in updating chat.")
    config = completed({**assistant.prompt_config, **data.prompt_config}, default_system=default_system_prompt())
    check_variables(config)
    if data.unrecognized:
        raise unrecognized(data.unrecognized)
    assistant.prompt_config = config
    assistant.generation_options = {**assistant.generation_options, **(data.options or {})}
    assistant.chat_model = data.model_name or assistant.chat_model
    for column, value in data.columns.items():
        setattr(assistant, column, value)
    _save(assistant, datasets, "Duplicated chat name in updating chat.", action="update")
    return assistant


def _locked(principal: Principal, assistant: Assistant) -> Assistant:
    stored = assistants_of(principal).select_for_update().filter(pk=assistant.pk).first()
    if stored is None:
        raise NotFound("Chat not found!")
    return stored


def delete_assistants(*, principal: Principal, ids: Sequence[str]) -> Deletion:
    """Delete these assistants, or all if none is named. Their sessions become unreachable."""
    return delete_named(
        assistants_of(principal),
        ids,
        delete=lambda rows: rows.update(deleted_at=timezone.now()),
        missing="Assistant({}) not found.",
        duplicate="Duplicate assistant ids: {}",
        kind="chat",
        tenant_id=principal.tenant_id,
    )


def _usable_datasets(
    principal: Principal, ids: Sequence[Any], assistant: Assistant | None = None
) -> list[KnowledgeBase]:
    """Return the datasets in order, each once. Raises NotFound, DataError or EmbeddingsDiffer."""
    named = [dataset_id for dataset_id in ids if isinstance(dataset_id, str)]
    found = assignable_datasets(principal, named, assistant)
    for dataset_id in ids:
        dataset = found.get(dataset_id) if isinstance(dataset_id, str) else None
        if dataset is None:
            raise NotFound(f"You don't own the dataset {dataset_id}")
        if not dataset.chunk_count:
            raise DataError(f"The dataset {dataset_id} doesn't own parsed file")
    datasets = [found[dataset_id] for dataset_id in dict.fromkeys(ids)]
    if datasets and not share_a_model(datasets):
        raise EmbeddingsDiffer
    return datasets


def _check_models(tenant: Tenant, data: AssistantData) -> None:
    type_ = "image2text" if (data.options or {}).get("model_type") == "image2text" else "chat"
    if data.model_name is not None and not language_models.offers_chat_model(data.model_name, tenant, type_):
        raise DataError(f"`model_name` {data.model_name} doesn't exist")
    reranker = data.columns.get("rerank_model")
    if reranker and reranker not in _KNOWN_RERANKERS and not language_models.offers_reranker(reranker, tenant):
        raise DataError(f"`rerank_model` {reranker} doesn't exist")


def _check_name(others: models.QuerySet[Assistant], name: str, message: str) -> None:
    if others.filter(name_key=name_key(name)).exists():
        raise Conflict(message)


def _save(assistant: Assistant, datasets: Sequence[KnowledgeBase] | None, conflict: str, *, action: str) -> None:
    """Write an assistant. Two requests with one name: the second gets the conflict."""
    try:
        write_assistant(assistant, datasets, action=action)
    except IntegrityError:
        raise Conflict(conflict) from None


@transaction.atomic
def write_assistant(assistant: Assistant, datasets: Sequence[KnowledgeBase] | None, *, action: str) -> None:
    """Write an assistant and, unless None, its datasets. Raises IntegrityError when its name is in use."""
    assistant.save()
    if datasets is not None:
        assistant.dataset_links.all().delete()
        AssistantDataset.objects.bulk_create(
            AssistantDataset(assistant=assistant, dataset=dataset, position=position)
            for position, dataset in enumerate(datasets)
        )
    audit.record(action, "chat", id=assistant.pk, name=assistant.name, tenant_id=assistant.tenant_id)
