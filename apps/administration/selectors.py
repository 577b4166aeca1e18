"""Reading for administrators, who see every user."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce, Lower

from apps.accounts.language_models import default_embedding_name, registry
from apps.accounts.models import APIToken, Membership, Tenant, TenantModel, User
from apps.accounts.selectors import models_of, tenant_by_id, tokens_of, user_by_email
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import listed_datasets
from apps.documents.models import Document, File
from ragflow.engine.registry import HASHING


def users() -> models.QuerySet[User]:
    return User.objects.order_by(Lower("email"))


def user_named(email: str) -> User | None:
    return user_by_email(email)


def principal_of(user: User) -> Principal:
    """Return the principal as which the user himself sees and makes things."""
    return Principal(user.pk, user.pk)


def tenant_of(user: User) -> Tenant | None:
    return tenant_by_id(user.pk)


def keys_of(user: User) -> models.QuerySet[APIToken]:
    """Return the live API tokens of the user's tenant, newest first."""
    return tokens_of(Tenant(pk=user.pk))


def datasets_of(user: User) -> models.QuerySet[KnowledgeBase]:
    """Return what the user's own list shows."""
    return listed_datasets(principal_of(user))


# -- for the administration pages ----------------------------------------------------------------------------------


def with_usage(tenants: models.QuerySet[Tenant]) -> models.QuerySet[Tenant]:
    """Add to each tenant what it has and uses: one statement, whose sums do not multiply each other.

    `stored_bytes` counts the bytes of documents and files once, however many documents are made from a file;
    `used_tokens` are those that its configured models have taken. `owner_email` says whose it is.
    """
    datasets = KnowledgeBase.objects.filter(tenant=OuterRef("pk"), deleted_at=None)
    documents = Document.objects.filter(dataset__tenant=OuterRef("pk"), dataset__deleted_at=None, deleted_at=None)
    files = File.objects.filter(tenant=OuterRef("pk"), deleted_at=None)
    members = Membership.objects.filter(tenant=OuterRef("pk"), is_pending=False)
    configured = TenantModel.objects.filter(tenant=OuterRef("pk"))
    usable = APIToken.objects.filter(tenant=OuterRef("pk"), revoked_at=None)
    return tenants.annotate(
        owner_email=Subquery(User.objects.filter(pk=OuterRef("pk")).values("email")),
        members_total=_total(members, "tenant", models.Count("pk")),
        tokens_total=_total(usable, "tenant", models.Count("pk")),
        datasets_total=_total(datasets, "tenant", models.Count("pk")),
        documents_total=_total(datasets, "tenant", models.Sum("document_count")),
        chunks_total=_total(datasets, "tenant", models.Sum("chunk_count")),
        indexed_tokens=_total(datasets, "tenant", models.Sum("token_count")),
        stored_bytes=_total(documents.filter(file_link=None), "dataset__tenant", models.Sum("size"))
        + _total(files, "tenant", models.Sum("size")),
        used_tokens=_total(configured, "tenant", models.Sum("used_tokens")),
    )


def with_progress(datasets: models.QuerySet[KnowledgeBase]) -> models.QuerySet[KnowledgeBase]:
    """Add to each dataset the bytes of its documents, and how many of them are in the states that matter."""
    documents = Document.objects.filter(dataset=OuterRef("pk"), deleted_at=None)

    def in_state(state: Document.State) -> models.Func:
        return _total(documents.filter(state=state), "dataset", models.Count("pk"))

    return datasets.annotate(
        bytes_total=_total(documents, "dataset", models.Sum("size")),
        done_total=in_state(Document.State.DONE),
        running_total=in_state(Document.State.RUNNING),
        failed_total=in_state(Document.State.FAIL),
    )


def _total(rows: models.QuerySet[Any], owner: str, aggregate: models.Aggregate) -> models.Func:
    """Return an aggregate over those rows of an owner; 0 when there are none."""
    grouped = rows.order_by().values(owner).annotate(total=aggregate).values("total")
    return Coalesce(Subquery(grouped, output_field=models.BigIntegerField()), 0)


def chunks_of_failed(datasets: models.QuerySet[KnowledgeBase]) -> int:
    """Return how many chunks failed documents hold: only those added by hand outlive a failure."""
    failed = Document.objects.filter(dataset__in=datasets.values("pk"), deleted_at=None, state=Document.State.FAIL)
    return failed.aggregate(total=models.Sum("chunk_count"))["total"] or 0


def common_models(datasets: models.QuerySet[KnowledgeBase]) -> list[str]:
    """Return the embedding models that all owners of these datasets can be offered, those configured first."""
    owners = Tenant.objects.filter(pk__in=datasets.order_by().values("tenant"))
    offered = [_embedding_models(tenant) for tenant in owners]
    return [name for name in offered[0] if all(name in names for names in offered)] if offered else []


def _embedding_models(tenant: Tenant) -> list[str]:
    rows = models_of(tenant.pk).filter(type=TenantModel.Type.EMBEDDING, is_enabled=True)
    builtin = (registry().builtin_embedding_name, HASHING)
    return list(dict.fromkeys([*map(str, rows), default_embedding_name(tenant), *builtin]))
