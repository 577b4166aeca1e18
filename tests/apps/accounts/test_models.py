"""Model providers over the web API (`/v1/llm/...`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.accounts import language_models, model_checks
from apps.accounts.catalogue import providers
from apps.accounts.models import Tenant, TenantModel
from apps.core.crypto import decrypt
from ragflow.engine.registry import HASHING, ModelSettings
from tests.apps.accounts.conftest import Web, join
from tests.tools.model_server import ModelServer, Reply

Z = "ZHIPU-AI"
KEY = "the-tenants-own-key"
ADD = "/v1/llm/add_llm"


@pytest.fixture
def server(settings: Any) -> Iterator[ModelServer]:
    """A provider that stands in for ZHIPU-AI, on this machine."""
    with ModelServer() as server:
        settings.PROVIDER_URLS = {Z: server.url}
        settings.MODELS = ModelSettings(embedding_model=HASHING, private_hosts=frozenset({"127.0.0.1"}))
        language_models.registry.reset()
        yield server


def set_key(web: Web, provider: str = Z, key: str = KEY, **more: Any) -> dict[str, Any]:
    return web.call("POST", "/v1/llm/set_api_key", {"llm_factory": provider, "api_key": key} | more)


def my_llms(web: Web, query: str = "") -> dict[str, Any]:
    answer = web.call("GET", f"/v1/llm/my_llms{query}")
    assert (answer["code"], answer["message"]) == (0, "success")
    return answer["data"]


# -- the catalogue -------------------------------------------------------------------------------------------------


def test_the_providers(ada: Web, profile: str):
    found = ada.call("GET", "/v1/llm/factories")["data"]
    names = [provider["name"] for provider in found]
    assert names[:4] == ["OpenAI", "Anthropic", "Gemini", "DeepSeek"]
    assert not {"Builtin", "FastEmbed", "Youdao", "BAAI"} & set(names)
    assert [provider["rank"] for provider in found] == sorted((item["rank"] for item in found), reverse=True)
    zhipu = found[names.index(Z)]
    assert set(zhipu) == {
        "name", "logo", "tags", "rank", "status", "model_types", "create_time", "create_date", "update_time",
        "update_date",
    }  # fmt: skip
    assert set(zhipu["model_types"]) == {"chat", "embedding", "image2text"}
    assert len(found[names.index("Ollama")]["model_types"]) == 7


def test_what_every_client_expects_of_the_catalogue():
    zhipu, builtin = providers()[Z], providers()["Builtin"]
    for name, type_ in {
        "glm-4-flash": "chat",
        "glm-4": "chat",
        "glm-4v": "image2text",
        "embedding-3": "embedding",
    }.items():
        assert zhipu.model(name).type == type_
    sizes = {"BAAI/bge-small-en-v1.5": 512, "BAAI/bge-m3": 8192, "Qwen/Qwen3-Embedding-0.6B": 32768}
    assert {name: builtin.model(name).max_tokens for name in sizes} == sizes
    assert zhipu.models[0].name == "embedding-2"


# -- a provider's key ----------------------------------------------------------------------------------------------


def test_a_key_is_tried_once_and_opens_all_models(ada: Web, server: ModelServer, profile: str):
    assert my_llms(ada) == {}
    answer = set_key(ada)
    assert (answer["code"], answer["message"], answer["data"]) == (0, "success", True)
    (exchange,) = server.exchanges
    assert exchange.path == "/v1/embeddings"
    assert exchange.body == {"model": "embedding-2", "input": ["Test if the api key is available"]}
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    mine = my_llms(ada)
    assert set(mine) == {Z}
    assert mine[Z]["tags"].split(",")
    assert {"type": "chat", "name": "glm-4-flash", "used_token": 0, "status": "1"} in mine[Z]["llm"]
    assert len(mine[Z]["llm"]) == len(providers()[Z].models)
    assert KEY not in str(mine)
    assert {decrypt(row.encrypted_key) for row in TenantModel.objects.all()} == {KEY}


def test_the_first_success_is_enough(ada: Web, server: ModelServer):
    server.script(Reply(status=404, endpoint="embeddings"))
    assert set_key(ada)["code"] == 0
    assert [exchange.path for exchange in server.exchanges] == ["/v1/embeddings", "/v1/chat/completions"]
    body = server.exchanges[1].body
    assert body["messages"] == [{"role": "user", "content": "Hello! How are you doing!"}]
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0.9, 50, "glm-4")


def test_a_key_that_opens_nothing_is_not_stored(ada: Web, server: ModelServer, profile: str):
    server.script(*(Reply(status=401, message=f"wrong key {KEY}") for _ in range(2)))
    answer = set_key(ada)
    assert answer["code"] == 102
    assert "data" not in answer
    first, second = answer["message"].removeprefix("\n").split("\n")
    assert first.startswith("Fail to access embedding model(embedding-2) using this api key.")
    assert second.startswith("Fail to access model(ZHIPU-AI/glm-4) using this api key.")
    assert "401: wrong key ***" in first
    assert KEY not in answer["message"]
    assert not TenantModel.objects.exists()
    assert len(server.exchanges) == 2


FAILURES = {
    "silence": (Reply(hang_after=-1), Reply(hang_after=-1)),
    "no JSON": (Reply(raw="<html>", endpoint="embeddings"), Reply(raw="nothing", endpoint="chat")),
    "other JSON": (Reply(raw='{"a": 1}', endpoint="embeddings"), Reply(raw='{"error": "no"}', endpoint="chat")),
    "rate limit": (Reply(status=429, headers={"Retry-After": "3600"}),) * 2,
    "server error": (Reply(status=500),) * 2,
    "an error as text": (Reply(status=500), Reply(text="**ERROR**: no")),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_of_a_provider(ada: Web, server: ModelServer, failure: str, monkeypatch: pytest.MonkeyPatch):
    if failure == "silence":
        monkeypatch.setattr(model_checks, "SECONDS", 1.0)
    server.script(*FAILURES[failure])
    answer = set_key(ada)
    assert answer["code"] == 102
    assert answer["message"].count("\nFail to access ") == 2
    assert len(server.exchanges) == 2  # nothing is tried again
    assert not TenantModel.objects.exists()


def test_nobody_listens(ada: Web, server: ModelServer, settings: Any):
    settings.PROVIDER_URLS = {Z: "http://127.0.0.1:1/v1"}
    assert "The connection to the model provider at 127.0.0.1:1 failed" in set_key(ada)["message"]


@pytest.mark.parametrize("provider", ["Ollama", "VLLM", "Nobody", "Builtin"])
def test_a_provider_without_known_models_stores_nothing(ada: Web, server: ModelServer, provider: str):
    assert set_key(ada, provider)["data"] is True
    assert not TenantModel.objects.exists()
    assert not server.exchanges


def test_a_new_key_replaces_the_old_one_and_nothing_else(ada: Web, server: ModelServer):
    set_key(ada)
    TenantModel.objects.filter(name="glm-4").update(is_enabled=False, used_tokens=7)
    ids = set(TenantModel.objects.values_list("pk", flat=True))
    set_key(ada, key="a newer key", base_url=server.url)
    assert set(TenantModel.objects.values_list("pk", flat=True)) == ids
    assert {decrypt(row.encrypted_key) for row in TenantModel.objects.all()} == {"a newer key"}
    row = TenantModel.objects.get(name="glm-4")
    assert (row.is_enabled, row.used_tokens, row.base_url) == (False, 7, server.url)


def test_a_failed_new_key_leaves_the_old_one(ada: Web, server: ModelServer):
    set_key(ada)
    server.script(*(Reply(status=401) for _ in range(2)))
    assert set_key(ada, key="wrong")["code"] == 102
    assert {decrypt(row.encrypted_key) for row in TenantModel.objects.all()} == {KEY}


@pytest.mark.parametrize("body", [{}, {"llm_factory": Z}, {"api_key": "x"}])
def test_declared_arguments(ada: Web, body: dict[str, str], profile: str):
    answer = ada.call("POST", "/v1/llm/set_api_key", body)
    missing = ",".join(name for name in ("llm_factory", "api_key") if name not in body)
    assert (answer["code"], answer["message"]) == (101, f"required argument are missing: {missing}; ")


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": 5},
        {"api_key": None},
        {"llm_factory": ["x"]},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "http://user:password@models.example"},
        {"base_url": "http://"},
        {"base_url": "http://[::1"},
        {"base_url": {"a": 1}},
        {"api_key": "x" * 20000},
        {"api_key": "nul\0"},
        {"tenant_id": 5},
    ],
)
def test_values_that_cannot_be(ada: Web, server: ModelServer, changes: dict[str, Any], profile: str):
    answer = set_key(ada, **changes)
    assert answer["code"] == 101, answer
    assert not server.exchanges


def test_a_key_that_no_header_carries(ada: Web, server: ModelServer):
    assert "cannot carry" in set_key(ada, key="ключ")["message"]
    assert not server.exchanges


# -- addresses -----------------------------------------------------------------------------------------------------


def test_a_tenant_cannot_look_into_the_servers_network(ada: Web, server: ModelServer, settings: Any):
    settings.MODELS = ModelSettings(embedding_model=HASHING)
    language_models.registry.reset()
    answer = set_key(ada, base_url=f"http://127.0.0.1:{server.port}/v1")
    assert answer["code"] == 102
    assert "RAGFLOW_PRIVATE_MODEL_HOSTS" in answer["message"]
    for type_ in ("chat", "embedding", "rerank", "image2text", "tts"):
        answer = ada.call(
            "POST",
            ADD,
            {
                "llm_factory": "VLLM",
                "llm_name": "m",
                "model_type": type_,
                "api_base": f"http://localhost:{server.port}/v1",
            },
        )
        assert "RAGFLOW_PRIVATE_MODEL_HOSTS" in answer["message"], type_
    assert server.connections == 0
    assert not TenantModel.objects.exists()


def test_the_operators_own_address_may_be_private(ada: Web, server: ModelServer, settings: Any):
    settings.MODELS = ModelSettings(embedding_model=HASHING)
    language_models.registry.reset()
    assert set_key(ada)["code"] == 0  # RAGFLOW_PROVIDER_URLS names the server


# -- one model -----------------------------------------------------------------------------------------------------


@pytest.fixture
def add(ada: Web, server: ModelServer) -> Callable[..., dict[str, Any]]:
    def send(type_: str = "chat", name: str = "llama3", provider: str = "Ollama", **more: Any) -> dict[str, Any]:
        body = {"llm_factory": provider, "llm_name": name, "model_type": type_, "api_base": server.url}
        return ada.call("POST", ADD, body | more)

    return send


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        ("chat", "chat/completions"),
        ("embedding", "embeddings"),
        ("rerank", "rerank"),
        ("image2text", "chat/completions"),
    ],
)
def test_a_model_is_asked_by_its_type(add, server: ModelServer, ada: Web, type_: str, path: str):
    assert add(type_, max_tokens=4096)["data"] is True
    (exchange,) = server.exchanges
    assert exchange.path == f"/v1/{path}"
    assert exchange.body["model"] == "llama3"
    assert my_llms(ada, "?include_details=true")["Ollama"]["llm"] == [
        {
            "type": type_, "name": "llama3", "used_token": 0, "status": "1", "api_base": server.url, "max_tokens": 4096,
        }
    ]  # fmt: skip


def test_a_model_that_sees_is_shown_a_picture(add, server: ModelServer):
    add("image2text")
    (message,) = server.exchanges[0].body["messages"]
    assert message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_speech_to_text_is_not_tried(add, server: ModelServer):
    assert add("speech2text")["data"] is True
    assert not server.exchanges


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        ("chat", "\nFail to access model(Ollama/llama3)."),
        ("embedding", "\nFail to access embedding model(llama3)."),
        ("rerank", "\nFail to access model(Ollama/llama3)."),
        ("image2text", "\nFail to access model(Ollama/llama3)."),
        ("tts", "\nFail to access model(Ollama/llama3)."),
        ("ocr", "\nFail to access model(Ollama/llama3)."),
    ],
)
def test_a_model_that_does_not_answer_is_not_added(add, server: ModelServer, type_: str, message: str, profile: str):
    server.script(Reply(status=404, message="no such model"))
    answer = add(type_)
    assert answer["code"] == 102
    assert answer["message"].startswith(message)
    assert not TenantModel.objects.exists()


@pytest.mark.parametrize(
    ("provider", "stored"),
    [
        ("VLLM", "m___VLLM"),
        ("LocalAI", "m___LocalAI"),
        ("HuggingFace", "m___HuggingFace"),
        ("OpenAI-API-Compatible", "m___OpenAI-API"),
        ("Xinference", "m"),
    ],
)
def test_names_with_a_suffix(add, ada: Web, server: ModelServer, provider: str, stored: str):
    assert add("chat", "m", provider)["code"] == 0
    assert server.exchanges[0].body["model"] == "m"
    assert my_llms(ada)[provider]["llm"][0]["name"] == stored
    assert ada.call("POST", "/v1/llm/delete_llm", {"llm_factory": provider, "llm_name": "m"})["data"] is True
    assert my_llms(ada) == {}


def test_keys_in_parts(add, server: ModelServer):
    add("chat", "any", "VolcEngine", ark_api_key="ark", endpoint_id="ep-1")
    add("chat", "some/model", "OpenRouter", api_key="router", provider_order="a,b")
    add("chat", "spark", "XunFei Spark", spark_api_password="pass-phrase")
    volc, router, spark = server.exchanges
    assert (volc.body["model"], volc.headers["authorization"]) == ("ep-1", "Bearer ark")
    assert router.body["provider"] == {"order": ["a", "b"], "allow_fallbacks": False}
    assert router.headers["authorization"] == "Bearer router"
    assert spark.headers["authorization"] == "Bearer pass-phrase"


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"llm_factory": "Bedrock"}, 102, "LLM factory Bedrock is not allowed"),
        ({"llm_factory": "Builtin"}, 102, "LLM factory Builtin is not allowed"),
        ({"llm_factory": "Nope", "model_type": "poetry"}, 102, "LLM factory Nope is not allowed"),
        ({"llm_factory": ["Ollama"]}, 102, "LLM factory ['Ollama'] is not allowed"),
        ({"api_base": ""}, 102, "\nFail to access model(Ollama/llama3).Its address is needed"),
        ({"max_tokens": 0}, 101, "Field: <max_tokens>"),
        ({"llm_name": ""}, 101, "Field: <llm_name>"),
        ({"llm_name": "x" * 300}, 101, "Field: <llm_name>"),
    ],
)
def test_models_that_cannot_be_added(add, server: ModelServer, changes, code, message, profile: str):
    answer = add(**changes)
    assert answer["code"] == code
    assert answer["message"].startswith(message)
    assert not server.exchanges


@pytest.mark.parametrize(
    ("body", "reference"),
    [
        ({"llm_factory": "Ollama", "llm_name": "m"}, "KeyError('model_type')"),
        (
            {"llm_factory": "Ollama", "llm_name": "m", "model_type": "it's"},
            """RuntimeError("Unknown model type: it's")""",
        ),
        ({"llm_factory": "Ollama", "model_type": "chat"}, "KeyError('llm_name')"),
        (
            {"llm_factory": "Ollama", "llm_name": "m", "model_type": "poetry"},
            "RuntimeError('Unknown model type: poetry')",
        ),
    ],
)
def test_types_that_there_are_not(ada: Web, body, reference: str, profile: str):
    answer = ada.call("POST", ADD, body)
    if profile == "exact":
        assert (answer["code"], answer["message"]) == (100, reference)
    else:
        assert answer["code"] == 101


# -- small ones ----------------------------------------------------------------------------------------------------


def test_enable_and_delete(ada: Web, server: ModelServer, profile: str):
    set_key(ada)
    named = {"llm_factory": Z, "llm_name": "glm-4"}
    for status, stored in (("0", "0"), (None, "1"), (0, "0"), (1, "1")):
        body = named | ({} if status is None else {"status": status})
        assert ada.call("POST", "/v1/llm/enable_llm", body)["data"] is True
        assert {item["name"]: item["status"] for item in my_llms(ada)[Z]["llm"]}["glm-4"] == stored
    assert ada.call("POST", "/v1/llm/enable_llm", named | {"status": "maybe"})["code"] == 101
    for _ in range(2):
        assert ada.call("POST", "/v1/llm/delete_llm", named)["data"] is True
    assert "glm-4" not in {item["name"] for item in my_llms(ada)[Z]["llm"]}
    for _ in range(2):
        assert ada.call("POST", "/v1/llm/delete_factory", {"llm_factory": Z})["data"] is True
    assert my_llms(ada) == {}


def test_what_can_be_chosen(ada: Web, server: ModelServer, profile: str):
    before = ada.call("GET", "/v1/llm/list")["data"]
    assert set(before) == {"Builtin"}
    names = {model["llm_name"] for model in before["Builtin"]}
    assert {"BAAI/bge-small-en-v1.5", "extractive", "hash-1024"} <= names
    set_key(ada)
    ada.call("POST", "/v1/llm/enable_llm", {"llm_factory": Z, "llm_name": "glm-4", "status": "0"})
    ada.call("POST", ADD, {"llm_factory": "Ollama", "llm_name": "llama3", "model_type": "chat", "api_base": server.url})
    found = ada.call("GET", "/v1/llm/list")["data"]
    flash = next(model for model in found[Z] if model["llm_name"] == "glm-4-flash")
    assert flash.items() >= {
        "model_type": "chat", "fid": Z, "max_tokens": 128000, "is_tools": True, "status": "1", "available": True,
    }.items()  # fmt: skip
    assert "glm-4" not in {model["llm_name"] for model in found[Z]}
    assert found["Ollama"] == [
        {"llm_name": "llama3", "model_type": "chat", "fid": "Ollama", "available": True, "status": "1"}
    ]
    embedding = ada.call("GET", "/v1/llm/list?model_type=embedd")["data"]
    assert {model["model_type"] for models in embedding.values() for model in models} == {"embedding"}
    assert set(embedding) == {"Builtin", Z}


def test_the_installations_models_can_be_chosen(ada: Web, settings: Any):
    settings.MODELS = ModelSettings(base_url="http://127.0.0.1:9/v1", chat_model="llama3@Ollama", rerank_model="rank")
    language_models.registry.reset()
    found = ada.call("GET", "/v1/llm/list")["data"]
    assert [model["llm_name"] for model in found["Ollama"]] == ["llama3"]
    assert [model["llm_name"] for model in found["OpenAI"]] == ["rank"]


def test_models_of_a_provider_that_is_gone(ada: Web):
    TenantModel.objects.create(tenant_id=ada.user.pk, provider="Gone", name="m", type="chat")
    assert my_llms(ada) == {}
    assert my_llms(ada, "?include_details=true")["Gone"]["tags"] is None


# -- teams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "pending", "may_read", "may_write"),
    [
        ("admin", False, True, True),
        ("editor", False, True, False),
        ("viewer", False, True, False),
        ("admin", True, False, False),
    ],
)
def test_who_may_see_and_change_a_teams_models(
    ada: Web, bob: Web, server: ModelServer, role: str, pending: bool, may_read: bool, may_write: bool
):
    set_key(ada)
    join(ada, bob, role, is_pending=pending)
    team = ada.user.pk
    for path in ("my_llms", "list"):
        answer = bob.call("GET", f"/v1/llm/{path}?tenant_id={team}")
        assert (answer["code"] == 0) is may_read
        assert (Z in str(answer)) is may_read
    answer = set_key(bob, key="bob's", tenant_id=team)
    assert answer["code"] == (0 if may_write else 109)
    assert decrypt(TenantModel.objects.filter(tenant_id=team)[0].encrypted_key) == ("bob's" if may_write else KEY)
    assert not TenantModel.objects.exclude(tenant_id=team).exists()
    chosen = {"tenant_id": team, "llm_id": "x@Y", "embd_id": "", "asr_id": "", "img2txt_id": ""}
    assert bob.call("POST", "/v1/user/set_tenant_info", chosen)["code"] == (0 if may_write else 109)
    assert Tenant.objects.get(pk=team).chat_model == ("x@Y" if may_write else "")
    assert my_llms(bob) == {}


def test_checks_are_limited(ada: Web, server: ModelServer, monkeypatch: pytest.MonkeyPatch):
    from apps.accounts import throttles

    monkeypatch.setattr(throttles, "MODEL_CHECKS_OF_TENANT", throttles.Limit("checks", 1, 10_000_000))
    assert set_key(ada)["code"] == 0
    assert set_key(ada)["code"] == 429


@pytest.mark.parametrize("path", ["my_llms", "list"])
def test_the_number_of_queries(ada: Web, server: ModelServer, django_assert_num_queries: Any, path: str):
    set_key(ada)
    with django_assert_num_queries(3):  # login, tenant, models
        ada.call("GET", f"/v1/llm/{path}")
