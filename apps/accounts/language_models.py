"""The one way to a model: from a tenant and a name ("model@provider") to the object that does the work.

A name means, in this order, a model that the tenant has configured, a built-in one, or one of the provider that the
installation is configured with. Rows are read each time, so a changed key counts at once, in every process; clients are
kept by what they are made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from django.conf import settings

from apps.accounts.catalogue import CHAT, EMBEDDING, RERANK, SPEECH_TO_TEXT, TEXT_TO_SPEECH, VISION, providers
from apps.accounts.models import Tenant, TenantModel
from apps.accounts.selectors import models_named
from apps.core.crypto import decrypt
from apps.core.errors import InvalidArgument
from apps.core.once import once
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.errors import ModelNotFound
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.registry import EXTRACTIVE, OPENAI, ModelSpec, Registry, RemoteModel
from ragflow.engine.rerank.base import Reranker
from ragflow.engine.speech.base import SpeechToText, TextToSpeech

Found = RemoteModel | str
"""A model that a tenant configured, or the name of one that the installation has."""

_SERVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        CHAT: (CHAT, VISION),
        VISION: (VISION, CHAT),
        EMBEDDING: (EMBEDDING,),
        RERANK: (RERANK,),
        SPEECH_TO_TEXT: (SPEECH_TO_TEXT,),
        TEXT_TO_SPEECH: (TEXT_TO_SPEECH,),
    }
)
"""The types of configured models that can do what is asked for, the better ones first."""


@once
def registry() -> Registry:
    """Return the process's registry. It builds a model when it is first asked for; tests call `registry.reset()`."""
    return Registry(settings.MODELS)


# -- models --------------------------------------------------------------------------------------------------------


def embedder_for(name: str, tenant_id: str) -> Embedder:
    """Return the embedding model of a dataset, whose owner is the tenant. Raises ModelNotFound."""
    return registry().embedder(_found(EMBEDDING, name, tenant_id))


def chat_model_for(tenant: Tenant, name: str = "") -> ChatModel:
    """Return a chat model; without a name the tenant's default. Raises ModelNotFound."""
    return registry().chat_model(_found(CHAT, name or default_chat_name(tenant), tenant.pk))


def vision_model_for(tenant: Tenant, name: str = "") -> ChatModel | None:
    """Return a chat model that takes pictures; None when none is named or chosen. Raises ModelNotFound."""
    name = name or tenant.image_to_text_model
    return registry().chat_model(_found(VISION, name, tenant.pk)) if name else None


def reranker_for(name: str, tenant_id: str) -> Reranker:
    """Return a rerank model. Raises ModelNotFound."""
    return registry().reranker(_found(RERANK, name, tenant_id))


def speech_to_text_for(tenant: Tenant) -> SpeechToText | None:
    """Return the model that transcribes for a tenant; None when none is chosen. Raises ModelNotFound."""
    name = tenant.speech_to_text_model or registry().default_speech_to_text_name
    return registry().speech_to_text(_found(SPEECH_TO_TEXT, name, tenant.pk)) if name else None


def text_to_speech_for(tenant: Tenant) -> TextToSpeech | None:
    """Return the model that speaks for a tenant; None when none is chosen. Raises ModelNotFound."""
    name = tenant.text_to_speech_model or registry().default_text_to_speech_name
    return registry().text_to_speech(_found(TEXT_TO_SPEECH, name, tenant.pk)) if name else None


def default_embedding_name(tenant: Tenant) -> str:
    return tenant.embedding_model or registry().default_embedding_name


def default_chat_name(tenant: Tenant) -> str:
    return tenant.chat_model or registry().default_chat_name


# -- may a name be used? Nobody is called over the network. --------------------------------------------------------


def require_embedding_model(name: str, tenant: Tenant) -> None:
    """Check that a tenant may embed with the model that a dataset names.

    Raises InvalidArgument: `Unauthorized model` when the model is known but its provider is not configured here,
    `Unsupported model` for any other.
    """
    if _find(EMBEDDING, name, tenant.pk) is not None:
        return
    spec = spec_of(name)
    provider = providers().get(spec.provider)
    known = provider.model(spec.model) if provider else None
    is_known = known is not None and known.type == EMBEDDING
    raise InvalidArgument(f"{'Unauthorized' if is_known else 'Unsupported'} model: <{name}>")


def offers_chat_model(name: str, tenant: Tenant, type_: str = CHAT) -> bool:
    """Tell whether a tenant may chat with the model of this name, which has to be of this type.

    Of the installation's models, a name without a provider must be that of a default: any other could be a mistake
    that shows only when asked.
    """
    rows = models_named(tenant.pk, *_names(name), types=(type_,))
    return any(row.is_enabled for row in rows) or _is_installations(CHAT, name)


def offers_reranker(name: str, tenant: Tenant) -> bool:
    """Tell whether a tenant may use a rerank model of this name."""
    return _find(RERANK, name, tenant.pk) is not None


# -- from a name to a model ----------------------------------------------------------------------------------------


def spec_of(name: str) -> ModelSpec:
    """Split a name. A single "@" separates a provider only if the provider is a known one."""
    spec = ModelSpec.parse(name)
    if name.count("@") == 1 and not spec.is_builtin and spec.provider not in providers():
        return spec if spec.provider in _installations_providers() else ModelSpec(name.strip())
    return spec


def remote_model(row: TenantModel) -> RemoteModel:
    """Return a configured model with its key and where it is asked. Raises ModelNotFound when its key is unreadable."""
    key = decrypt(row.encrypted_key)
    if key is None:
        raise ModelNotFound(
            f"The API key of {row} was stored under another secret key of this installation. Set it again, or name the "
            "earlier secret key in RAGFLOW_OLD_SECRET_KEYS."
        )
    return remote_model_with(row, key)


def remote_model_with(row: TenantModel, key: str) -> RemoteModel:
    """The same for a row that is about to be stored with this key."""
    provider = providers().get(row.provider)
    own_name = provider.own_name(row.name) if provider else row.name
    parts = _parts_of(row.provider, key)
    return RemoteModel(
        name=f"{own_name}@{row.provider}",
        model=parts.get("endpoint_id") or own_name,
        base_url=address_of(row),
        api_key=parts["api_key"],
        context_tokens=row.max_tokens,
        rerank_style=provider.rerank_style if provider else "",
        extra_body=parts.get("extra_body", ""),
        trusted=not row.base_url,
    )


def address_of(row: TenantModel) -> str:
    """Return the base URL at which a model is asked; empty where one has to be given."""
    provider = providers().get(row.provider)
    chosen = row.base_url or settings.PROVIDER_URLS.get(row.provider) or _installations_url(row.provider)
    if provider is None:
        return chosen
    return provider.rerank_address(chosen) if row.type == RERANK else provider.address(chosen)


def _found(role: str, name: str, tenant_id: str) -> Found:
    found = _find(role, name, tenant_id)
    if found is None:
        spec = spec_of(name)
        raise ModelNotFound(f"Model({spec.model}@{spec.provider or None}) not authorized")
    return found


def _find(role: str, name: str, tenant_id: str) -> Found | None:
    """Return what a name means for a tenant. A model that the tenant disabled is not looked for elsewhere."""
    if ModelSpec.parse(name).is_builtin:
        return name if _is_installations(role, name) else None
    types = _SERVES[role]
    rows = sorted(
        models_named(tenant_id, *_names(name), types=types), key=lambda row: (not row.is_enabled, types.index(row.type))
    )
    if rows:
        return replace(remote_model(rows[0]), account=rows[0].pk) if rows[0].is_enabled else None
    return name if _is_installations(role, name) else None


def _names(name: str) -> tuple[str, set[str]]:
    """Return the provider of a name (empty: any), and under which names its model may be stored."""
    spec = spec_of(name)
    provider = providers().get(spec.provider)
    return spec.provider, {spec.model} | ({provider.stored_name(spec.model)} if provider else set())


def _parts_of(provider: str, key: str) -> Mapping[str, str]:
    """Return what is in a stored key. For some providers it is a JSON object, where it was given in parts."""
    try:
        stored = json.loads(key) if key.startswith("{") else {}
    except ValueError:
        stored = {}
    if provider == "VolcEngine" and "ark_api_key" in stored:
        return {"api_key": stored["ark_api_key"], "endpoint_id": stored.get("endpoint_id", "")}
    if provider == "OpenRouter" and "api_key" in stored:
        order = [part.strip() for part in str(stored.get("provider_order", "")).split(",") if part.strip()]
        routed = {"provider": {"order": order, "allow_fallbacks": False}}
        return {"api_key": stored["api_key"], "extra_body": json.dumps(routed) if order else ""}
    if provider == "Azure-OpenAI" and "api_key" in stored:
        return {"api_key": stored["api_key"]}
    return {"api_key": key}


# -- the installation's own models ---------------------------------------------------------------------------------


def _is_installations(role: str, name: str) -> bool:
    """Tell whether a name is that of a built-in model, or of the provider of the settings."""
    spec = spec_of(name)
    if not spec.model:
        return False
    if spec.is_builtin:
        return role == EMBEDDING or (role == CHAT and f"{spec.model.lower()}@Builtin" == EXTRACTIVE)
    defaults = {default for default in _default_names(role) if default}
    if name in defaults or (not spec.provider and name in {ModelSpec.parse(known).model for known in defaults}):
        return True
    if spec.provider not in _installations_providers():
        return False
    provider = providers().get(spec.provider)
    if role != EMBEDDING or provider is None or not provider.models:
        return True
    known = provider.model(spec.model)
    return known is not None and known.type == EMBEDDING


def _default_names(role: str) -> tuple[str, ...]:
    models = registry()
    return {
        CHAT: (models.default_chat_name,),
        EMBEDDING: (models.default_embedding_name,),
        RERANK: (models.default_rerank_name,),
        SPEECH_TO_TEXT: (models.default_speech_to_text_name,),
        TEXT_TO_SPEECH: (models.default_text_to_speech_name,),
    }.get(role, ())


def _installations_providers() -> set[str]:
    """Return the provider names that stand for the endpoint of the settings."""
    return (_named_providers() or {OPENAI}) if registry().has_provider else set()


def _installations_url(provider: str) -> str:
    """Return the base URL of the settings for a provider that the settings name, else empty text."""
    return registry().settings.base_url if provider in _named_providers() else ""


def _named_providers() -> set[str]:
    chosen = registry().settings
    names = (
        chosen.chat_model,
        chosen.embedding_model,
        chosen.rerank_model,
        chosen.speech_to_text_model,
        chosen.text_to_speech_model,
    )
    return {provider for name in names if (provider := ModelSpec.parse(name).provider) and provider != "Builtin"}
