"""Which chat and rerank models an assistant may name."""

from __future__ import annotations

import pytest

from apps.accounts import language_models
from apps.accounts.models import Tenant
from ragflow.engine.registry import ModelSettings


@pytest.fixture
def configure(settings):
    def use(**chosen):
        settings.MODELS = ModelSettings(**chosen)
        language_models.registry.reset()

    yield use
    language_models.registry.reset()


def offered(*names):
    return [name for name in names if language_models.offers_chat_model(name, Tenant())]


def test_without_a_provider_only_the_built_in_model_is_offered(configure):
    configure()
    names = ("extractive@Builtin", "extractive", "hash-1024@Builtin", "unknown", "gpt-4o@OpenAI", "", "@", "x@Builtin")
    assert offered(*names) == ["extractive@Builtin", "extractive"]


def test_a_provider_offers_its_default_by_either_name_and_others_by_their_full_name(configure):
    configure(api_key="key", chat_model="gpt-4o@OpenAI", rerank_model="rank@OpenAI")
    assert offered("gpt-4o@OpenAI", "gpt-4o", "o3@OpenAI", "o3", "o3@Cohere", "@OpenAI", "unknown") == [
        "gpt-4o@OpenAI",
        "gpt-4o",
        "o3@OpenAI",
    ]
    assert [
        name for name in ("rank@OpenAI", "rank", "other@OpenAI", "other") if language_models.offers_reranker(name)
    ] == [
        "rank@OpenAI",
        "rank",
        "other@OpenAI",
    ]


def test_no_rerank_model_is_built_in(configure):
    configure()
    assert not any(map(language_models.offers_reranker, ("", "rank", "rank@Builtin", "rank@OpenAI")))


def test_what_is_offered_can_be_built(configure):
    configure(base_url="http://127.0.0.1:9/v1", chat_model="llama3@Ollama")
    for name in offered("llama3@Ollama", "llama3", "qwen@Ollama", "extractive", "extractive@Builtin"):
        assert language_models.registry().chat_model(name).name
