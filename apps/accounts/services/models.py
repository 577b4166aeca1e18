"""The models that a tenant configures."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet

from apps.accounts import audit, throttles
from apps.accounts.catalogue import DEFAULT_TOKENS, EMBEDDING, OCR, Provider, providers
from apps.accounts.language_models import address_of, remote_model, remote_model_with
from apps.accounts.model_checks import check
from apps.accounts.model_schemas import ModelRef, ModelStatus, NewModel, ProviderKey
from apps.accounts.models import Tenant, TenantModel
from apps.core.crypto import encrypt
from apps.core.errors import DataError, TooManyRequests
from ragflow.engine.errors import ModelError

CHECKED_BY_KEY = ("chat", "embedding", "rerank")
"""The types of models with which a provider's key is tried."""


def set_api_key(*, tenant: Tenant, data: ProviderKey) -> None:
    """Store a key for all models of a provider, once one of them has answered to it.

    A provider without known models is left as it is: its models are added one by one. Raises DataError with what each
    type of model said if none answered, and TooManyRequests.
    """
    provider = providers().get(data.llm_factory)
    if provider is None or provider.hidden or not provider.models:
        return
    rows = [
        TenantModel(
            tenant=tenant,
            provider=provider.name,
            name=provider.stored_name(model.name),
            type=model.type,
            base_url=data.base_url,
            max_tokens=model.max_tokens,
        )
        for model in provider.models
    ]
    _require_an_answer(tenant, rows, data.api_key)
    _store(rows, data.api_key, action="set key")


def add_model(*, tenant: Tenant, data: NewModel) -> None:
    """Add one model of a provider, or replace its key and address, once it has answered.

    Raises DataError for a type that is not supported and for a model that does not answer, TooManyRequests.
    """
    provider = providers()[data.llm_factory]
    if data.model_type == OCR:
        raise DataError(
            f"\nFail to access model({provider.name}/{data.llm_name}).Models that read text are not supported."
        )
    name = provider.stored_name(data.llm_name)
    row = TenantModel(
        tenant=tenant,
        provider=provider.name,
        name=name,
        type=data.model_type,
        base_url=data.api_base,
        max_tokens=data.max_tokens or _known_tokens(provider, data.llm_name),
    )
    throttles.hit(throttles.MODEL_CHECKS_OF_TENANT, tenant.pk)
    if problem := _problem_with(row, data.api_key):
        raise DataError(f"\n{_failure(row)}.{problem}")
    _store([row], data.api_key, action="set")


@transaction.atomic
def delete_model(*, tenant: Tenant, data: ModelRef) -> None:
    """Remove a model. Nothing happens if there is none."""
    deleted, _ = _rows(tenant, data).delete()
    if deleted:
        _record("delete", tenant, f"{data.llm_name}@{data.llm_factory}")


@transaction.atomic
def enable_model(*, tenant: Tenant, data: ModelStatus) -> None:
    """Make a model usable or unusable. Nothing happens if there is none."""
    is_enabled = data.status == "1"
    if _rows(tenant, data).update(is_enabled=is_enabled):
        _record("enable" if is_enabled else "disable", tenant, f"{data.llm_name}@{data.llm_factory}")


@transaction.atomic
def delete_provider(*, tenant: Tenant, provider: str) -> None:
    """Remove all models of a provider, and with them its key."""
    deleted, _ = TenantModel.objects.filter(tenant=tenant, provider=provider).delete()
    if deleted:
        _record("delete key", tenant, provider)


def problem_with(*, row: TenantModel) -> str:
    """Ask a configured model once. Return what is wrong, or empty text."""
    try:
        check(row.type, remote_model(row))
    except (ModelError, TooManyRequests) as error:
        return str(error)
    return ""


def _require_an_answer(tenant: Tenant, rows: Iterable[TenantModel], key: str) -> None:
    throttles.hit(throttles.MODEL_CHECKS_OF_TENANT, tenant.pk)
    problems: dict[str, str] = {}  # by type
    for row in rows:
        if row.type not in CHECKED_BY_KEY or row.type in problems:
            continue
        problem = _problem_with(row, key)
        if not problem:
            return
        problems[row.type] = f"\n{_failure(row)} using this api key.{problem}"
    if problems:
        raise DataError("".join(problems.values()))


def _problem_with(row: TenantModel, key: str) -> str:
    """Return what a model answers to a key if it is no answer."""
    if not address_of(row):
        return "Its address is needed, for example http://127.0.0.1:8000/v1."
    try:
        check(row.type, remote_model_with(row, key))
    except ModelError as error:
        return str(error)
    return ""


def _failure(row: TenantModel) -> str:
    if row.type == EMBEDDING:
        return f"Fail to access embedding model({row.name})"
    return f"Fail to access model({row.provider}/{row.name})"


def _known_tokens(provider: Provider, name: str) -> int:
    known = provider.model(name)
    return known.max_tokens if known else DEFAULT_TOKENS


@transaction.atomic
def _store(rows: list[TenantModel], key: str, *, action: str) -> None:
    """Insert the rows, or replace what the key stands for. Whether a row is enabled, and what it used, stays."""
    for row in rows:
        row.encrypted_key = encrypt(key)
    TenantModel.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant", "provider", "name"],
        update_fields=["type", "encrypted_key", "base_url", "max_tokens", "updated_at"],
    )
    _record(action, rows[0].tenant, str(rows[0]) if action == "set" else rows[0].provider)


def _record(action: str, tenant: Tenant, name: str) -> None:
    audit.record(action, "model", name=name, tenant_id=tenant.pk)


def _rows(tenant: Tenant, data: ModelRef) -> QuerySet[TenantModel]:
    provider = providers().get(data.llm_factory)
    names = {data.llm_name} | ({provider.stored_name(data.llm_name)} if provider else set())
    return TenantModel.objects.filter(tenant=tenant, provider=data.llm_factory, name__in=names)
