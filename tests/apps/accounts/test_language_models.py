"""From a tenant and a name to a model: the one resolver."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts import language_models
from apps.accounts.models import Tenant, TenantModel
from apps.core.crypto import encrypt
from apps.core.errors import InvalidArgument
from ragflow.engine.errors import ModelNotFound
from ragflow.engine.registry import ModelSettings

KEY = "a-key-of-the-tenant"
Z = "ZHIPU-AI"


@pytest.fixture
def configure(settings):
    def use(**chosen):
        settings.MODELS = ModelSettings(**chosen)
        language_models.registry.reset()

    yield use
    language_models.registry.reset()


@pytest.fixture
def add(tenant: Tenant):
    """Return a function that gives a tenant a model."""

    def make(name: str, provider: str = Z, type_: str = "chat", owner: Tenant = tenant, **fields: Any) -> TenantModel:
        fields = {"encrypted_key": encrypt(KEY)} | fields
        return TenantModel.objects.create(tenant=owner, provider=provider, name=name, type=type_, **fields)

    return make


def offered(tenant: Tenant, *names: str) -> list[str]:
    return [name for name in names if language_models.offers_chat_model(name, tenant)]


# -- the installation's own models ---------------------------------------------------------------------------------


def test_without_a_provider_only_the_built_in_model_is_offered(configure, tenant):
    configure()
    names = ("extractive@Builtin", "extractive", "hash-1024@Builtin", "unknown", "gpt-4o@OpenAI", "", "@", "x@Builtin")
    assert offered(tenant, *names) == ["extractive@Builtin", "extractive"]


def test_a_provider_offers_its_default_by_either_name_and_others_by_their_full_name(configure, tenant):
    configure(api_key="key", chat_model="gpt-4o@OpenAI", rerank_model="rank@OpenAI")
    names = ("gpt-4o@OpenAI", "gpt-4o", "o3@OpenAI", "o3", "o3@Cohere", "@OpenAI", "unknown")
    assert offered(tenant, *names) == ["gpt-4o@OpenAI", "gpt-4o", "o3@OpenAI"]
    names = ("rank@OpenAI", "rank", "other@OpenAI", "other")
    assert [name for name in names if language_models.offers_reranker(name, tenant)] == list(names[:3])


def test_no_rerank_model_is_built_in(configure, tenant):
    configure()
    names = ("", "rank", "rank@Builtin", "rank@OpenAI")
    assert not any(language_models.offers_reranker(name, tenant) for name in names)


def test_what_is_offered_can_be_built(configure, tenant):
    configure(base_url="http://127.0.0.1:9/v1", chat_model="llama3@Ollama")
    for name in offered(tenant, "llama3@Ollama", "llama3", "qwen@Ollama", "extractive", "extractive@Builtin"):
        assert language_models.chat_model_for(tenant, name).name


# -- a tenant's models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "asked", "known_as"),
    [
        (("glm-4", Z), "glm-4@ZHIPU-AI", "glm-4"),
        (("glm-4", Z), "glm-4", "glm-4"),
        (("a@b", Z), "a@b@ZHIPU-AI", "a@b"),
        (("a@b", Z), "a@b", "a@b"),  # b is no provider, so all of it is the name
        (("llama___VLLM", "VLLM"), "llama@VLLM", "llama"),
        (("llama___VLLM", "VLLM"), "llama___VLLM@VLLM", "llama"),
        (("llama___VLLM", "VLLM"), "llama___VLLM", "llama"),
        (("llama___LocalAI", "LocalAI"), "llama@LocalAI", "llama"),
        (("llama___HuggingFace", "HuggingFace"), "llama@HuggingFace", "llama"),
        (("llama___OpenAI-API", "OpenAI-API-Compatible"), "llama@OpenAI-API-Compatible", "llama"),
    ],
)
def test_names_and_what_they_mean(add, tenant, stored, asked, known_as):
    add(*stored, base_url="http://127.0.0.1:9/v1")
    model: Any = language_models.chat_model_for(tenant, asked)
    assert model._model == known_as
    assert model._endpoint.api_key == KEY
    assert language_models.offers_chat_model(asked, tenant)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("x", "x@None"),
        ("glm-4@OpenAI", "glm-4@OpenAI"),
        ("glm-5@ZHIPU-AI", "glm-5@ZHIPU-AI"),
        ("x@Nobody", "x@Nobody@None"),
        ("x@y@Nobody", "x@y@Nobody"),
        ("off@ZHIPU-AI", "off@ZHIPU-AI"),
        ("nul\0@ZHIPU-AI", "nul\0@ZHIPU-AI"),
    ],
)
def test_names_that_mean_nothing(add, tenant, asked, said):
    add("glm-4")
    add("off", is_enabled=False)
    with pytest.raises(ModelNotFound) as caught:
        language_models.chat_model_for(tenant, asked)
    assert str(caught.value) == f"Model({said}) not authorized"
    assert not language_models.offers_chat_model(asked, tenant)


def test_types_are_kept_apart(add, tenant):
    add("embedding-3", type_="embedding")
    add("ranker", type_="rerank")
    add("glm-4v", type_="image2text")
    add("glm-4")
    assert language_models.embedder_for("embedding-3@ZHIPU-AI", tenant.pk).name == "embedding-3@ZHIPU-AI"
    assert language_models.reranker_for("ranker", tenant.pk).name == "ranker@ZHIPU-AI"
    assert language_models.chat_model_for(tenant, "glm-4v").name == "glm-4v@ZHIPU-AI"
    vision = language_models.vision_model_for(tenant, "glm-4v@ZHIPU-AI")
    assert vision is not None
    assert language_models.vision_model_for(tenant) is None
    assert language_models.offers_chat_model("glm-4v", tenant, "image2text")
    assert not language_models.offers_chat_model("glm-4v", tenant)
    assert not language_models.offers_chat_model("glm-4", tenant, "image2text")
    for wrong in ("embedding-3", "ranker"):
        with pytest.raises(ModelNotFound):
            language_models.chat_model_for(tenant, wrong)
    with pytest.raises(ModelNotFound):
        language_models.embedder_for("glm-4", tenant.pk)


def test_speech_models(add, tenant):
    assert language_models.speech_to_text_for(tenant) is None
    assert language_models.text_to_speech_for(tenant) is None
    add("whisper-1", "OpenAI", "speech2text")
    add("tts-1", "OpenAI", "tts")
    tenant.speech_to_text_model, tenant.text_to_speech_model = "whisper-1@OpenAI", "tts-1@OpenAI"
    hears, speaks = language_models.speech_to_text_for(tenant), language_models.text_to_speech_for(tenant)
    assert hears is not None
    assert speaks is not None
    assert (hears.name, speaks.name) == ("whisper-1@OpenAI", "tts-1@OpenAI")


def test_empty_text_means_the_default(add, tenant):
    assert language_models.chat_model_for(tenant).name == "extractive@Builtin"
    add("glm-4")
    tenant.chat_model = "glm-4@ZHIPU-AI"
    assert language_models.chat_model_for(tenant).name == "glm-4@ZHIPU-AI"
    tenant.chat_model = "gone@ZHIPU-AI"
    with pytest.raises(ModelNotFound):
        language_models.chat_model_for(tenant)


def test_a_tenants_own_model_comes_before_the_installations(add, configure, tenant):
    configure(api_key="the installation's", chat_model="gpt-4o@OpenAI")
    name = "gpt-4o@OpenAI"
    theirs: Any = language_models.chat_model_for(tenant, name)
    assert theirs._endpoint.api_key == "the installation's"
    row = add("gpt-4o", "OpenAI")
    own: Any = language_models.chat_model_for(tenant, name)
    assert own._endpoint.api_key == KEY
    row.is_enabled = False
    row.save()
    with pytest.raises(ModelNotFound):
        language_models.chat_model_for(tenant, name)


def test_a_changed_key_counts_at_once(add, tenant):
    row = add("glm-4")
    before: Any = language_models.chat_model_for(tenant, "glm-4")
    assert language_models.chat_model_for(tenant, "glm-4@ZHIPU-AI") is before
    row.encrypted_key = encrypt("another key")
    row.save()
    after: Any = language_models.chat_model_for(tenant, "glm-4")
    assert (before._endpoint.api_key, after._endpoint.api_key) == (KEY, "another key")
    row.delete()
    with pytest.raises(ModelNotFound):
        language_models.chat_model_for(tenant, "glm-4")


def test_nobody_gets_the_models_of_another_tenant(add, tenant, other):
    add("glm-4", owner=other.tenant)
    with pytest.raises(ModelNotFound):
        language_models.chat_model_for(tenant, "glm-4@ZHIPU-AI")
    assert not language_models.offers_chat_model("glm-4", tenant)
    with pytest.raises(InvalidArgument):
        language_models.require_embedding_model("glm-4", tenant)


def test_a_key_of_another_installation_is_named(add, tenant, settings):
    add("glm-4")
    settings.SECRET_KEY = "quite another secret key of an installation"
    with pytest.raises(ModelNotFound, match="RAGFLOW_OLD_SECRET_KEYS"):
        language_models.chat_model_for(tenant, "glm-4")


# -- where they are asked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "type_", "given", "asked_at"),
    [
        (Z, "chat", "", "https://open.bigmodel.cn/api/paas/v4"),
        (Z, "chat", "https://mirror.example/v4", "https://mirror.example/v4"),
        ("Ollama", "chat", "http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("Ollama", "chat", "http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1"),
        ("VLLM", "rerank", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("HuggingFace", "embedding", "http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("HuggingFace", "rerank", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("Azure-OpenAI", "chat", "https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1"),
        ("OpenAI-API-Compatible", "chat", "https://x.example/api", "https://x.example/api"),
        ("Cohere", "rerank", "", "https://api.cohere.com/v2"),
        ("Cohere", "chat", "", "https://api.cohere.ai/compatibility/v1"),
        ("Ollama", "chat", "", ""),
    ],
)
def test_where_a_model_is_asked(provider, type_, given, asked_at):
    assert language_models.address_of(TenantModel(provider=provider, type=type_, base_url=given)) == asked_at


def test_the_operator_may_put_a_gateway_before_a_provider(settings, configure):
    row = TenantModel(provider=Z, type="chat")
    configure(base_url="http://127.0.0.1:7/v1", chat_model="llama3")
    assert language_models.address_of(row) == "https://open.bigmodel.cn/api/paas/v4"
    configure(base_url="http://127.0.0.1:7/v1", chat_model="glm-4@ZHIPU-AI")
    assert language_models.address_of(row) == "http://127.0.0.1:7/v1"
    settings.PROVIDER_URLS = {Z: "http://127.0.0.1:8/v4"}
    assert language_models.address_of(row) == "http://127.0.0.1:8/v4"
    row.base_url = "https://mine.example"
    assert language_models.address_of(row) == "https://mine.example"


@pytest.mark.parametrize(
    ("provider", "key", "api_key", "model", "extra"),
    [
        (Z, "plain", "plain", "m", ""),
        (Z, '{"api_key": "x"}', '{"api_key": "x"}', "m", ""),
        ("VolcEngine", '{"ark_api_key": "k", "endpoint_id": "ep-1"}', "k", "ep-1", ""),
        ("VolcEngine", '{"ark_api_key": "k", "endpoint_id": ""}', "k", "m", ""),
        ("Azure-OpenAI", '{"api_key": "k", "api_version": "2024"}', "k", "m", ""),
        (
            "OpenRouter",
            '{"api_key": "k", "provider_order": "a, b"}',
            "k",
            "m",
            '{"provider": {"order": ["a", "b"], "allow_fallbacks": false}}',
        ),
        ("OpenRouter", '{"api_key": "k", "provider_order": ""}', "k", "m", ""),
        ("OpenRouter", "{broken", "{broken", "m", ""),
    ],
)
def test_keys_in_parts(provider, key, api_key, model, extra):
    row = TenantModel(provider=provider, name="m", type="chat", base_url="https://x.example/v1")
    found = language_models.remote_model_with(row, key)
    assert (found.api_key, found.model, found.extra_body) == (api_key, model, extra)
    assert not found.trusted
    assert key not in repr(found)


# -- embedding models of datasets ----------------------------------------------------------------------------------


def test_which_embedding_models_a_dataset_may_name(add, tenant):
    add("embedding-3", type_="embedding")
    add("nomic", "Ollama", "embedding")
    for name in ("embedding-3@ZHIPU-AI", "nomic@Ollama", "any/thing@Builtin", "hash-1024@Builtin"):
        language_models.require_embedding_model(name, tenant)
    refused = {
        "embedding-2@ZHIPU-AI": "Unauthorized",
        "text-embedding-3-small@OpenAI": "Unauthorized",
        "embedding-9@ZHIPU-AI": "Unsupported",
        "glm-4@ZHIPU-AI": "Unsupported",
        "embedding-3@Nobody": "Unsupported",
        "other@Ollama": "Unsupported",
    }
    for name, reason in refused.items():
        with pytest.raises(InvalidArgument) as caught:
            language_models.require_embedding_model(name, tenant)
        assert caught.value.message == f"{reason} model: <{name}>"
