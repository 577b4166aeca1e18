"""Writing datasets."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit, language_models
from apps.accounts.models import Tenant
from apps.core.errors import Conflict, DataError, InvalidArgument, LacksPermission
from apps.core.many import among
from apps.core.names import insert_with_free_name, name_key
from apps.core.principal import Principal
from apps.datasets import parser_config
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.schemas import MAX_NAME, CreateDataset, UpdateDataset
from apps.datasets.selectors import owned_datasets

log = logging.getLogger(__name__)

_SLICE = 1000
_DIRECT = ("name", "avatar", "description", "permission", "chunk_method", "pipeline_id", "pagerank")

_MODEL_FIELDS = ("embedding_model", "vector_space", "newest_space")


def create_dataset(*, owner: Tenant, data: CreateDataset) -> KnowledgeBase:
    """Create a dataset; a name that the tenant uses already gets a number.

    Raises InvalidArgument for an embedding model that cannot be used, DataError for a name over 128 bytes.
    """
    if len(data.name.encode()) > MAX_NAME:
        raise DataError(f"Dataset name length is {len(data.name)} which is large than {MAX_NAME}")
    if data.embedding_model is not None:
        language_models.require_embedding_model(data.embedding_model, owner)

    def insert(name: str) -> KnowledgeBase:
        dataset = KnowledgeBase.objects.create(
            tenant=owner,
            name=name,
            avatar=data.avatar,
            description=data.description,
            permission=data.permission,
            embedding_model=data.embedding_model or language_models.default_embedding_name(owner),
            chunk_method=data.chunk_method,
            pipeline_id=data.pipeline_id,
            parser_config=parser_config.initial(
                data.chunk_method, data.parser_config, chat_model=language_models.default_chat_name(owner)
            ),
        )
        audit.record("create", "dataset", id=dataset.pk, name=dataset.name, tenant_id=owner.pk)
        return dataset

    siblings = KnowledgeBase.objects.filter(tenant=owner, deleted_at__isnull=True)
    return insert_with_free_name(data.name, siblings=siblings, insert=insert, max_bytes=MAX_NAME)


@transaction.atomic
def update_dataset(*, principal: Principal, data: UpdateDataset) -> KnowledgeBase:
    """Change the fields that were sent, all or none.

    Raises InvalidArgument when nothing was sent or the embedding model cannot be used, LacksPermission when the
    dataset is not the caller's, Conflict for a name in use, DataError for another embedding model while it has chunks.
    """
    if not data.sent:
        raise InvalidArgument("No properties were modified")
    dataset = owned_datasets(principal).select_for_update(of=("self",)).filter(pk=data.dataset_id).first()
    if dataset is None:
        raise LacksPermission(f"User '{principal.tenant_id}' lacks permission for dataset '{data.dataset_id}'")
    dataset.parser_config = parser_config.updated(
        dataset.parser_config,
        data.parser_config,
        chunk_method=data.chunk_method if "chunk_method" in data.sent else None,
        current_method=dataset.chunk_method,
    )
    if "name" in data.sent:
        _require_free_name(dataset, data.name)
    if "embedding_model" in data.sent:
        _change_embedding_model(dataset, data.embedding_model)
    for field in data.sent.intersection(_DIRECT):
        setattr(dataset, field, getattr(data, field))
    changed = [*data.sent.intersection(_DIRECT), "name_key", *_MODEL_FIELDS, "parser_config", "updated_at"]
    try:
        with transaction.atomic():
            dataset.save(update_fields=changed)
    except IntegrityError:
        raise _name_taken(data.name) from None
    detail = {"fields": sorted(data.sent)}
    audit.record("update", "dataset", id=dataset.pk, name=dataset.name, tenant_id=dataset.tenant_id, detail=detail)
    return dataset


def _require_free_name(dataset: KnowledgeBase, name: str) -> None:
    siblings = KnowledgeBase.objects.filter(tenant_id=dataset.tenant_id, deleted_at__isnull=True)
    if siblings.filter(name_key=name_key(name)).exclude(pk=dataset.pk).exists():
        raise _name_taken(name)


def _name_taken(name: str) -> Conflict:
    return Conflict(f"Dataset name '{name}' already exists")


def _change_embedding_model(dataset: KnowledgeBase, name: str | None) -> None:
    """Set the model, or keep it when null was sent. Vectors of two models cannot be compared, so chunks pin it."""
    wanted = name if name is not None else dataset.embedding_model
    if dataset.chunk_count and wanted != dataset.embedding_model:
        raise DataError(
            f"When chunk_num ({dataset.chunk_count}) > 0, embedding_model must remain {dataset.embedding_model}"
        )
    if wanted != dataset.embedding_model:
        language_models.require_embedding_model(wanted, dataset.tenant)
        set_embedding_model(dataset, wanted)


def set_embedding_model(dataset: KnowledgeBase, name: str) -> None:
    """Set another model of a dataset without chunks. The caller has the row locked, and saves it.

    Chunks of a document that is being parsed may be there already; its worker notices by the space, and begins again.
    """
    dataset.embedding_model = name
    dataset.vector_space = dataset.begin_space()


# -- deletion ------------------------------------------------------------------------------------------------------


def delete_datasets(*, principal: Principal, ids: Sequence[str] | None) -> None:
    """Delete these datasets with everything in them, or all of the caller's when `ids` is None.

    All or none: when one of them is not the caller's, LacksPermission is raised and nothing is deleted.
    """
    with transaction.atomic():
        owned = owned_datasets(principal).select_for_update(of=("self",)).order_by("pk")
        datasets = list(owned if ids is None else owned.filter(among("pk", ids)))
        foreign = set(ids or ()) - {dataset.pk for dataset in datasets}
        if foreign:
            shown = ", ".join(id_ for id_ in ids or () if id_ in foreign)
            raise LacksPermission(f"User '{principal.tenant_id}' lacks permission for datasets: '{shown}'")
        hide_datasets(datasets)
        audit.record("delete", "dataset", ids=[dataset.pk for dataset in datasets], tenant_id=principal.tenant_id)
    remove_hidden(datasets)


def hide_datasets(datasets: Sequence[KnowledgeBase]) -> None:
    """Make datasets invisible and their names free. `remove_hidden` then removes what they hold."""
    ids = [dataset.pk for dataset in datasets]
    KnowledgeBase.objects.filter(among("pk", ids)).update(deleted_at=timezone.now())


def remove_hidden(datasets: Sequence[KnowledgeBase]) -> None:
    """Delete the documents of hidden datasets. A worker finds the rest, which may take a while; see `purge_hidden`."""
    for dataset in datasets:
        _delete_documents(dataset)


def _delete_documents(dataset: KnowledgeBase) -> None:
    while _delete_slice(dataset):
        pass


@transaction.atomic
def _delete_slice(dataset: KnowledgeBase) -> int:
    """Delete some documents with their tasks, and return how many there were.

    Both are locked in the order in which a worker does that reports on a document; see `apps.documents.services`.
    """
    ids = list(dataset.documents.order_by().values_list("pk", flat=True)[:_SLICE])
    documents = dataset.documents.filter(pk__in=ids)
    list(documents.select_for_update().order_by("pk").values_list("pk"))
    documents.delete()
    return len(ids)


def purge_dataset(dataset: KnowledgeBase, *, unhurried: bool = False) -> None:
    """Remove the documents, chunks and files of a hidden dataset, and at last its row.

    The documents go first, and with them the tasks that a worker needs to write chunks: nothing comes back after that.
    What a failing store keeps is logged; the row stays hidden until `purge_hidden` succeeds.
    """
    _delete_documents(dataset)
    try:
        doc_store().delete_dataset(dataset.pk, unhurried=unhurried)
        _delete_files(dataset.pk)
    except Exception:  # each store has errors of its own
        log.exception("Dataset %s is hidden, but what it holds could not be removed yet", dataset.pk)
        return
    KnowledgeBase.objects.filter(pk=dataset.pk).delete()


def purge_hidden(*, unhurried: bool = False) -> int:
    """Remove all hidden datasets. Return how many there were."""
    hidden = list(KnowledgeBase.objects.filter(deleted_at__isnull=False))
    for dataset in hidden:
        purge_dataset(dataset, unhurried=unhurried)
    return len(hidden)


def _delete_files(folder: str) -> None:
    try:
        _, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in files:
        default_storage.delete(f"{folder}/{name}")
    default_storage.delete(folder)
