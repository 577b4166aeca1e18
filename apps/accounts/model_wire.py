"""Model providers as the contract writes them. Keys are in none of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from apps.accounts.catalogue import CHAT, EMBEDDING, RERANK, KnownModel, Provider, builtin, providers
from apps.accounts.language_models import registry
from apps.accounts.models import TenantModel
from apps.core.clock import timestamps
from ragflow.engine.registry import MINILM, ModelSpec

_UNKNOWN = timestamps(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))

Grouped = dict[str, list[dict[str, Any]]]


def provider_to_wire(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "logo": "",
        "tags": provider.tags,
        "rank": provider.rank,
        "status": "1",
        "model_types": provider.model_types,
        **_UNKNOWN,
    }


def configured_to_wire(rows: Iterable[TenantModel], *, in_detail: bool) -> dict[str, dict[str, Any]]:
    """A tenant's models by provider. Without details those of providers that are not known are left out."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        provider = providers().get(row.provider)
        if provider is None and not in_detail:
            continue
        item = {"type": row.type, "name": row.name, "used_token": row.used_tokens, "status": _status(row)}
        if in_detail:
            item |= {"api_base": row.base_url, "max_tokens": row.max_tokens}
        group = found.setdefault(row.provider, {"tags": provider.tags if provider else None, "llm": []})
        group["llm"].append(item)
    return found


def selectable_to_wire(rows: Iterable[TenantModel], *, type_part: str) -> Grouped:
    """The models that a tenant can choose, by provider: configured ones, the built-in and the installation's."""
    grouped: Grouped = defaultdict(list)
    for model in builtin().models:
        grouped[builtin().name].append(_known_to_wire(builtin(), model, available=_is_present(model)))
    for row in rows:
        if row.is_enabled:
            grouped[row.provider].append(_row_to_wire(row))
    for item in _installations():
        if not any(item["llm_name"] == other["llm_name"] for other in grouped[item["fid"]]):
            grouped[item["fid"]].append(item)
    matching = {name: [item for item in items if type_part in item["model_type"]] for name, items in grouped.items()}
    return {name: items for name, items in matching.items() if items}


def _row_to_wire(row: TenantModel) -> dict[str, Any]:
    provider = providers().get(row.provider)
    known = provider.model(row.name) if provider else None
    if provider and known:
        return _known_to_wire(provider, known, available=True)
    return _bare(row.name, row.type, row.provider)


def _known_to_wire(provider: Provider, model: KnownModel, *, available: bool) -> dict[str, Any]:
    return {
        "llm_name": model.name,
        "model_type": model.type,
        "fid": provider.name,
        "max_tokens": model.max_tokens,
        "tags": model.tags,
        "is_tools": model.calls_tools,
        "status": "1",
        "available": available,
        **_UNKNOWN,
    }


def _installations() -> Iterable[dict[str, Any]]:
    """The defaults of the settings that are asked at a provider."""
    models = registry()
    defaults = {
        CHAT: models.default_chat_name,
        EMBEDDING: models.default_embedding_name,
        RERANK: models.default_rerank_name,
    }
    for type_, name in defaults.items():
        spec = ModelSpec.parse(name)
        if spec.model and not spec.is_builtin:
            yield _bare(spec.model, type_, spec.provider)


def _bare(name: str, type_: str, provider: str) -> dict[str, Any]:
    return {"llm_name": name, "model_type": type_, "fid": provider, "available": True, "status": "1"}


def _is_present(model: KnownModel) -> bool:
    return model.name != ModelSpec.parse(MINILM).model or registry().model_folder is not None


def _status(row: TenantModel) -> str:
    return "1" if row.is_enabled else "0"
