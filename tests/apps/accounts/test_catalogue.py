"""The catalogue is data that people edit; mistakes in it show here."""

from __future__ import annotations

import pytest

from apps.accounts.catalogue import TYPES, builtin, offered, providers
from ragflow.engine.http import Endpoint
from ragflow.engine.rerank.http import STYLES


@pytest.mark.parametrize("provider", offered(), ids=lambda provider: provider.name)
def test_a_provider_can_be_asked(provider):
    for address in filter(None, (provider.base_url, provider.rerank_url)):
        assert Endpoint(address).base_url.startswith("https://")
        assert not address.endswith("/")
    assert provider.rerank_style in STYLES
    assert provider.address("http://127.0.0.1:9") == f"http://127.0.0.1:9{provider.api_path}"
    assert provider.base_url or not provider.models or provider.api_path
    assert {model.type for model in provider.models} <= set(TYPES)
    assert all(model.max_tokens > 0 and model.name.strip() == model.name for model in provider.models)
    assert "," not in provider.name  # RAGFLOW_PROVIDER_URLS separates by it
    assert "@" not in provider.name


def test_names_of_models_are_unique_within_a_provider():
    for provider in providers().values():
        names = [model.name for model in provider.models]
        assert len(names) == len(set(names)), provider.name


def test_a_suffix_is_added_once_and_taken_off():
    vllm = providers()["VLLM"]
    assert vllm.stored_name("m") == vllm.stored_name("m___VLLM") == "m___VLLM"
    assert vllm.own_name("m___VLLM") == vllm.own_name("m") == "m"
    assert providers()["OpenAI"].stored_name("m") == "m"


def test_the_built_in_provider_is_hidden():
    assert builtin() not in offered()
