"""The language models of this installation: one registry per process, and what a tenant prefers."""

from __future__ import annotations

from django.conf import settings

from apps.accounts.catalogue import EMBEDDING_MODELS, OPEN_PROVIDERS, PROVIDERS
from apps.accounts.models import Tenant
from apps.core.errors import InvalidArgument
from apps.core.once import once
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.registry import EXTRACTIVE, OPENAI, ModelSpec, Registry
from ragflow.engine.rerank.base import Reranker
from ragflow.engine.speech.base import SpeechToText, TextToSpeech


@once
def registry() -> Registry:
    """Return the process's registry. It builds a model when it is first asked for; tests call `registry.reset()`."""
    return Registry(settings.MODELS)


def embedder_for(name: str) -> Embedder:
    """Return the embedding model of a dataset. Raises ModelNotFound."""
    return registry().embedder(name)


def chat_model_for(tenant: Tenant, name: str = "") -> ChatModel:
    """Return a chat model; without a name the tenant's default. Raises ModelNotFound."""
    return registry().chat_model(name or default_chat_name(tenant))


def reranker_for(name: str) -> Reranker:
    """Return a rerank model. Raises ModelNotFound."""
    return registry().reranker(name)


def speech_to_text_for(tenant: Tenant) -> SpeechToText | None:
    """Return the model that transcribes for a tenant; None when none is chosen. Raises ModelNotFound."""
    name = tenant.speech_to_text_model or registry().default_speech_to_text_name
    return registry().speech_to_text(name) if name else None


def text_to_speech_for(tenant: Tenant) -> TextToSpeech | None:
    """Return the model that speaks for a tenant; None when none is chosen. Raises ModelNotFound."""
    name = tenant.text_to_speech_model or registry().default_text_to_speech_name
    return registry().text_to_speech(name) if name else None


def default_embedding_name(tenant: Tenant) -> str:
    return tenant.embedding_model or registry().default_embedding_name


def default_chat_name(tenant: Tenant) -> str:
    return tenant.chat_model or registry().default_chat_name


def require_embedding_model(name: str, tenant: Tenant) -> None:
    """Check that a tenant may embed with the model that a dataset names; nobody is called over the network.

    Raises InvalidArgument: `Unauthorized model` when the model is known but its provider is not configured here,
    `Unsupported model` for any other.
    """
    spec = _spec_of(name)
    if spec.is_builtin or name in {default_embedding_name(tenant), registry().default_embedding_name}:
        return
    is_configured = spec.provider in _configured_providers()
    if is_configured and spec.provider in OPEN_PROVIDERS:
        return
    if spec.model not in EMBEDDING_MODELS.get(spec.provider, ()):
        raise InvalidArgument(f"Unsupported model: <{name}>")
    if not is_configured:
        raise InvalidArgument(f"Unauthorized model: <{name}>")


def offers_chat_model(name: str, tenant: Tenant) -> bool:
    """Tell whether a tenant may chat with the model of this name; nobody is called over the network.

    A name without a provider must be that of a default model: any other could be a mistake that shows only when asked.
    """
    defaults = {default_chat_name(tenant), registry().default_chat_name, EXTRACTIVE}
    spec = _spec_of(name)
    if name in defaults or (not spec.provider and name in {ModelSpec.parse(known).model for known in defaults}):
        return True
    return bool(spec.model and spec.provider) and spec.provider in _configured_providers()


def offers_reranker(name: str) -> bool:
    """Tell whether a rerank model of this name can be used; nobody is called over the network."""
    default = registry().default_rerank_name
    if default and name in {default, ModelSpec.parse(default).model}:
        return True
    spec = _spec_of(name)
    return bool(spec.model and spec.provider) and spec.provider in _configured_providers()


def _spec_of(name: str) -> ModelSpec:
    """Split an identifier. A single "@" separates a provider only if the provider is a known one."""
    spec = ModelSpec.parse(name)
    if name.count("@") == 1 and spec.provider not in PROVIDERS and not spec.is_builtin:
        return ModelSpec(name)
    return spec


def _configured_providers() -> set[str]:
    """Return the provider names that stand for the endpoint of the settings."""
    models = registry()
    if not models.has_provider:
        return set()
    chosen = models.settings
    named = {
        ModelSpec.parse(name).provider for name in (chosen.chat_model, chosen.embedding_model, chosen.rerank_model)
    }
    return {provider for provider in named if provider} or {OPENAI}
