"""Writing assistants, sessions and messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from apps.accounts import language_models
from apps.accounts.models import Tenant
from apps.accounts.selectors import tenant_of
from apps.chats.models import Assistant, AssistantDataset, Message, Session, default_generation_options
from apps.chats.prompt_config import check_variables, completed
from apps.chats.schemas import AssistantData, SessionData
from apps.chats.selectors import assistants_of, sessions_of
from apps.core.errors import Conflict, DataError, NotFound
from apps.core.names import name_key
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_datasets
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


# -- assistants ----------------------------------------------------------------------------------------------------


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
        prompt_config=config,
        **data.columns,
    )
    _save(assistant, datasets, "Duplicated chat name in creating chat.")
    return assistant


@transaction.atomic
def update_assistant(*, principal: Principal, assistant: Assistant, data: AssistantData) -> Assistant:
    """Change what the data names; the prompt and the generation options are merged into the stored ones.

    Raises NotFound, DataError, Conflict and BadValue.
    """
    assistant = _locked(principal, assistant)  # merge into what is stored now
    datasets = None if data.dataset_ids is None else _usable_datasets(principal, data.dataset_ids)
    _check_models(assistant.tenant, data)
    if "name" in data.columns:
        if not data.columns["name"]:
            raise DataError("`name` cannot be empty.")
        others = assistants_of(principal).exclude(pk=assistant.pk)
        _check_name(others, data.columns["name"], "Duplicated chat name in updating chat.")
    config = completed({**assistant.prompt_config, **data.prompt_config}, default_system=default_system_prompt())
    check_variables(config)
    assistant.prompt_config = config
    assistant.generation_options = {**assistant.generation_options, **(data.options or {})}
    assistant.chat_model = data.model_name or assistant.chat_model
    for column, value in data.columns.items():
        setattr(assistant, column, value)
    _save(assistant, datasets, "Duplicated chat name in updating chat.")
    return assistant


def _locked(principal: Principal, assistant: Assistant) -> Assistant:
    stored = assistants_of(principal).select_for_update().filter(pk=assistant.pk).first()
    if stored is None:
        raise NotFound("Chat not found!")
    return stored


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of a request to delete: how many rows went, and a sentence for each id that could not."""

    deleted: int
    errors: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


def delete_assistants(*, principal: Principal, ids: Sequence[str]) -> Deletion:
    """Delete these assistants, or all if none is named. Their sessions become unreachable."""
    return _delete(
        assistants_of(principal),
        ids,
        delete=lambda rows: rows.update(deleted_at=timezone.now()),
        missing="Assistant({}) not found.",
        duplicate="Duplicate assistant ids: {}",
    )


def _usable_datasets(principal: Principal, ids: Sequence[Any]) -> list[KnowledgeBase]:
    """Return the datasets in order, each once. Raises NotFound, DataError or EmbeddingsDiffer."""
    found = accessible_datasets(principal).in_bulk([dataset_id for dataset_id in ids if isinstance(dataset_id, str)])
    for dataset_id in ids:
        dataset = found.get(dataset_id) if isinstance(dataset_id, str) else None
        if dataset is None:
            raise NotFound(f"You don't own the dataset {dataset_id}")
        if not dataset.chunk_count:
            raise DataError(f"The dataset {dataset_id} doesn't own parsed file")
    datasets = [found[dataset_id] for dataset_id in dict.fromkeys(ids)]
    if len({dataset.embedding_model.partition("@")[0] for dataset in datasets}) > 1:
        raise EmbeddingsDiffer
    return datasets


def _check_models(tenant: Tenant, data: AssistantData) -> None:
    if data.model_name is not None and not language_models.offers_chat_model(data.model_name, tenant):
        raise DataError(f"`model_name` {data.model_name} doesn't exist")
    reranker = data.columns.get("rerank_model")
    if reranker and reranker not in _KNOWN_RERANKERS and not language_models.offers_reranker(reranker):
        raise DataError(f"`rerank_model` {reranker} doesn't exist")


def _check_name(others: models.QuerySet[Assistant], name: str, message: str) -> None:
    if others.filter(name_key=name_key(name)).exists():
        raise Conflict(message)


def _save(assistant: Assistant, datasets: Sequence[KnowledgeBase] | None, conflict: str) -> None:
    """Write an assistant and, unless None, its datasets. Two requests with one name: the second gets the conflict."""
    try:
        with transaction.atomic():
            assistant.save()
            if datasets is not None:
                assistant.dataset_links.all().delete()
                AssistantDataset.objects.bulk_create(
                    AssistantDataset(assistant=assistant, dataset=dataset, position=position)
                    for position, dataset in enumerate(datasets)
                )
    except IntegrityError:
        raise Conflict(conflict) from None


# -- sessions ------------------------------------------------------------------------------------------------------


@transaction.atomic
def create_session(*, assistant: Assistant, data: SessionData, greeted_at: datetime | None = None) -> Session:
    """Create a session that begins with the assistant's opener."""
    session = Session.objects.create(assistant=assistant, name=data.name or "New session", user_id=data.user_id or "")
    Message.objects.create(
        session=session, role=Message.Role.ASSISTANT, content=opener_of(assistant), created_at=greeted_at
    )
    return session


def opener_of(assistant: Assistant) -> str:
    opener = assistant.prompt_config.get("prologue")
    return opener if isinstance(opener, str) else ""


def update_session(*, session: Session, data: SessionData) -> Session:
    """Rename a session or change its user."""
    session.name = session.name if data.name is None else data.name
    session.user_id = session.user_id if data.user_id is None else data.user_id
    session.save(update_fields=["name", "user_id", "updated_at"])
    return session


def delete_sessions(*, assistant: Assistant, ids: Sequence[str]) -> Deletion:
    """Delete these sessions of the assistant with their messages, or all if none is named."""
    return _delete(
        sessions_of(assistant),
        ids,
        delete=lambda rows: rows.delete()[1].get("chats.Session", 0),
        missing="The chat doesn't own the session {}",
        duplicate="Duplicate session ids: {}",
    )


def _delete(
    rows: models.QuerySet[Any], ids: Sequence[str], *, delete: Callable[[Any], int], missing: str, duplicate: str
) -> Deletion:
    """Delete the named rows, or all of them, in one statement."""
    if not ids:
        return Deletion(delete(rows))
    counts = Counter(ids)
    with transaction.atomic():
        found = set(rows.filter(pk__in=counts).values_list("pk", flat=True))
        deleted = delete(rows.filter(pk__in=found))
    return Deletion(
        deleted,
        errors=[missing.format(row_id) for row_id in counts if row_id not in found],
        duplicates=[duplicate.format(row_id) for row_id, count in counts.items() if count > 1],
    )


# -- messages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what was answered, ready to be kept."""

    session_id: str
    pair_id: UUID
    question: str
    answer: str
    thoughts: str = ""
    reference: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False


@transaction.atomic
def record_exchange(*, exchange: Exchange) -> None:
    """Append a question and its answer to their session. A session that was deleted meanwhile stays deleted."""
    now = timezone.now()
    # Also makes a second exchange of the same session wait, so that pairs do not interleave.
    if not Session.objects.filter(pk=exchange.session_id).update(updated_at=now):
        return
    shared = {"session_id": exchange.session_id, "pair_id": exchange.pair_id, "created_at": now}
    Message.objects.bulk_create(
        [
            Message(role=Message.Role.USER, content=_storable(exchange.question), **shared),
            Message(
                role=Message.Role.ASSISTANT,
                content=_storable(exchange.answer),
                thoughts=_storable(exchange.thoughts),
                reference=exchange.reference,
                interrupted=exchange.interrupted,
                **shared,
            ),
        ]
    )


def _storable(text: str) -> str:
    """Return the text without NUL, which people and models may write and not every database keeps."""
    return text.replace("\0", "")
