"""Writing datasets as the web API asks for it: with any configuration, and any model while there are no chunks."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from apps.accounts import audit, language_models
from apps.accounts.errors import NotYours
from apps.accounts.models import Tenant
from apps.core.errors import Conflict, DataError
from apps.core.names import insert_with_free_name, name_key
from apps.core.principal import Principal
from apps.datasets import parser_config
from apps.datasets.models import ChunkMethod, KnowledgeBase
from apps.datasets.schemas import MAX_NAME
from apps.datasets.selectors import owned_dataset, owned_datasets
from apps.datasets.services import delete_datasets, set_embedding_model
from apps.datasets.web.schemas import DatasetData


def create_dataset(*, owner: Tenant, data: DatasetData) -> KnowledgeBase:
    """Create a dataset; a name that the tenant uses already gets a number. No embedding model means the default one.

    Raises InvalidArgument for an embedding model that cannot be used.
    """
    if data.embedding_model:
        language_models.require_embedding_model(data.embedding_model, owner)
    method = data.columns.get("chunk_method", ChunkMethod.NAIVE)
    config = parser_config.deep_merge(parser_config.defaults_of(method), data.parser_config or {})

    def insert(name: str) -> KnowledgeBase:
        dataset = KnowledgeBase(
            tenant=owner,
            name=name,
            embedding_model=data.embedding_model or language_models.default_embedding_name(owner),
            parser_config=config | {"llm_id": language_models.default_chat_name(owner)},
            **data.columns,
        )
        dataset.save(force_insert=True)
        audit.record("create", "dataset", id=dataset.pk, name=dataset.name, tenant_id=owner.pk)
        return dataset

    siblings = KnowledgeBase.objects.filter(tenant=owner, deleted_at__isnull=True)
    return insert_with_free_name(data.name, siblings=siblings, insert=insert, max_bytes=MAX_NAME)


@transaction.atomic
def update_dataset(*, principal: Principal, dataset_id: str, data: DatasetData) -> KnowledgeBase:
    """Change what was sent, all or none; the configuration replaces the stored one.

    Raises NotYours, Conflict for a name in use, DataError for another embedding model while there are chunks.
    """
    dataset = owned_datasets(principal).select_for_update(of=("self",)).filter(pk=dataset_id).first()
    if dataset is None:
        raise NotYours
    others = owned_datasets(principal).exclude(pk=dataset.pk)
    if name_key(data.name) != dataset.name_key and others.filter(name_key=name_key(data.name)).exists():
        raise Conflict("Duplicated dataset name.")
    dataset.name = data.name
    _change_embedding_model(dataset, data.embedding_model)
    if data.parser_config is not None:
        dataset.parser_config = data.parser_config
    for column, value in data.columns.items():
        setattr(dataset, column, value)
    try:
        with transaction.atomic():
            dataset.save()
    except IntegrityError:
        raise Conflict("Duplicated dataset name.") from None
    given = {"embedding_model": data.embedding_model, "parser_config": data.parser_config}
    fields = {"fields": sorted({"name", *data.columns, *(name for name in given if given[name] is not None)})}
    audit.record("update", "dataset", id=dataset.pk, name=dataset.name, tenant_id=dataset.tenant_id, detail=fields)
    return dataset


def _change_embedding_model(dataset: KnowledgeBase, model: str | None) -> None:
    """Set the model, the tenant's default for an empty name. Whether it can be used is found out when it is."""
    if model is None:
        return
    wanted = model or language_models.default_embedding_name(dataset.tenant)
    if wanted == dataset.embedding_model:
        return
    if dataset.chunk_count:
        raise DataError(f"The dataset has chunks made with {dataset.embedding_model}, so `embd_id` cannot change.")
    set_embedding_model(dataset, wanted)


def delete_dataset(*, principal: Principal, dataset_id: str) -> None:
    """Delete a dataset of the caller with everything in it. Raises NotYours."""
    if owned_dataset(principal, dataset_id) is None:
        raise NotYours
    delete_datasets(principal=principal, ids=[dataset_id])


@transaction.atomic
def describe_metadata(*, principal: Principal, dataset_id: str, metadata: object, enabled: bool) -> KnowledgeBase:
    """Set what the metadata of a dataset's documents should hold, and whether it is derived. Raises NotYours."""
    dataset = owned_datasets(principal).select_for_update(of=("self",)).filter(pk=dataset_id).first()
    if dataset is None:
        raise NotYours
    dataset.parser_config = {**dataset.parser_config, "metadata": metadata, "enable_metadata": enabled}
    dataset.save(update_fields=["parser_config", "updated_at"])
    fields = {"fields": ["metadata", "enable_metadata"]}
    audit.record("update", "dataset", id=dataset.pk, name=dataset.name, tenant_id=dataset.tenant_id, detail=fields)
    return dataset
