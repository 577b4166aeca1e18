"""Reading datasets. Everything is restricted to the caller; somebody else's dataset does not exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Count, Q, QuerySet, Sum

from apps.accounts.selectors import edited_tenant_ids, joined_tenant_ids
from apps.core.ids import is_id
from apps.core.names import name_key
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase


def owned_datasets(principal: Principal) -> QuerySet[KnowledgeBase]:
    """Return the live datasets of the caller's tenant: what it may change."""
    return _reachable(principal).filter(tenant_id=principal.tenant_id)


def accessible_datasets(principal: Principal) -> QuerySet[KnowledgeBase]:
    """Return the live datasets of the caller and of the tenants it joined: what it may read."""
    joined = Q(tenant_id__in=joined_tenant_ids(principal))
    return _reachable(principal).filter(Q(tenant_id=principal.tenant_id) | joined)


def listed_datasets(principal: Principal) -> QuerySet[KnowledgeBase]:
    """Return what the caller's list shows: its own datasets, and those that joined tenants share with their team."""
    shared = Q(tenant_id__in=joined_tenant_ids(principal), permission=KnowledgeBase.Permission.TEAM)
    return _reachable(principal).filter(Q(tenant_id=principal.tenant_id) | shared)


def counted(principal: Principal, datasets: QuerySet[KnowledgeBase]) -> tuple[QuerySet[KnowledgeBase], int]:
    """Return listed datasets and how many they are.

    Mostly all are the caller's own. Said to the database, that makes a page a walk along an index.
    """
    is_own = Q(tenant_id=principal.tenant_id)
    numbers = datasets.order_by().aggregate(total=Count("pk"), own=Count("pk", filter=is_own))
    return datasets.filter(is_own) if numbers["own"] == numbers["total"] else datasets, numbers["total"]


def editable_datasets(principal: Principal) -> QuerySet[KnowledgeBase]:
    """Return the live datasets whose documents the caller may change: viewers of a team only read."""
    edited = Q(tenant_id__in=edited_tenant_ids(principal))
    return _reachable(principal).filter(Q(tenant_id=principal.tenant_id) | edited)


def _reachable(principal: Principal) -> QuerySet[KnowledgeBase]:
    """Return the live datasets of everybody; for a narrowed token those that it may name."""
    live = KnowledgeBase.objects.filter(deleted_at__isnull=True)
    return live if principal.named_datasets is None else live.filter(pk__in=principal.named_datasets)


def live_dataset(dataset_id: str) -> KnowledgeBase | None:
    """Return a dataset of anybody: for operators only."""
    live = KnowledgeBase.objects.filter(deleted_at__isnull=True)
    return live.filter(pk=dataset_id).first() if is_id(dataset_id) else None


def owned_dataset(principal: Principal, dataset_id: str) -> KnowledgeBase | None:
    return owned_datasets(principal).filter(pk=dataset_id).first() if is_id(dataset_id) else None


def accessible_dataset(principal: Principal, dataset_id: str) -> KnowledgeBase | None:
    return accessible_datasets(principal).filter(pk=dataset_id).first() if is_id(dataset_id) else None


def editable_dataset(principal: Principal, dataset_id: str) -> KnowledgeBase | None:
    return editable_datasets(principal).filter(pk=dataset_id).first() if is_id(dataset_id) else None


def datasets_by_id(principal: Principal, ids: Collection[str]) -> dict[str, KnowledgeBase]:
    """Return those of the ids that the caller may read, in their order."""
    wanted = [id_ for id_ in dict.fromkeys(ids) if is_id(id_)]
    found = KnowledgeBase.objects.order_by().in_bulk(wanted)
    allowed = readable_ids(principal, found.values())
    return {id_: found[id_] for id_ in wanted if id_ in allowed}


def readable_ids(principal: Principal, datasets: Iterable[KnowledgeBase]) -> set[str]:
    """Return which of these datasets the caller may read. Mostly they are its own, and no query is needed to see it."""
    live = [dataset for dataset in datasets if dataset.deleted_at is None]
    if principal.named_datasets is not None:
        live = [dataset for dataset in live if dataset.pk in principal.named_datasets]
    own = {dataset.pk for dataset in live if dataset.tenant_id == principal.tenant_id}
    others = [dataset.pk for dataset in live if dataset.pk not in own]
    if not others:
        return own
    return own | set(accessible_datasets(principal).filter(pk__in=others).values_list("pk", flat=True))


def named(datasets: QuerySet[KnowledgeBase], name: str) -> QuerySet[KnowledgeBase]:
    """Return those with this name in any letter case."""
    return datasets.filter(name_key=name_key(name))


def size_of(dataset: KnowledgeBase) -> int:
    """Return the bytes of a dataset's files."""
    live = dataset.documents.filter(deleted_at__isnull=True)
    return int(live.aggregate(total=Sum("size", default=0))["total"])
