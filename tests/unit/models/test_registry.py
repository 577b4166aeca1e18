"""From names and settings to models."""

import threading
from pathlib import Path

import numpy as np
import pytest

from ragflow.engine.embedding import minilm
from ragflow.engine.errors import ModelNotFound
from ragflow.engine.llm.complete import complete
from ragflow.engine.registry import ModelSettings, ModelSpec, Registry
from ragflow.engine.types import Message
from tests.tools.model_server import ModelServer, Reply


@pytest.fixture
def _without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like the model's, as far as finding it goes."""
    for name in minilm.FILES:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def names(registry: Registry) -> dict[str, str]:
    return {status.kind: status.name for status in registry.describe() if status.default}


@pytest.mark.parametrize(
    ("name", "model", "provider"),
    [
        ("glm-4-flash@ZHIPU-AI", "glm-4-flash", "ZHIPU-AI"),
        ("BAAI/bge-small-en-v1.5@Builtin", "BAAI/bge-small-en-v1.5", "Builtin"),
        ("user@host/model@OpenAI", "user@host/model", "OpenAI"),
        ("gpt-4o-mini", "gpt-4o-mini", ""),
        (" gpt-4o-mini ", "gpt-4o-mini", ""),
        ("", "", ""),
    ],
)
def test_a_name_is_split_at_its_last_at_sign(name: str, model: str, provider: str) -> None:
    spec = ModelSpec.parse(name)
    assert (spec.model, spec.provider) == (model, provider)
    assert str(spec) == name.strip()


@pytest.mark.usefixtures("_without_files")
def test_nothing_configured_means_hashing_and_quotes() -> None:
    registry = Registry(ModelSettings())
    assert names(registry) == {"embedding": "hash-1024@Builtin", "chat": "extractive@Builtin"}
    assert registry.embedder("").name == "hash-1024@Builtin"
    assert registry.chat_model("").name == "extractive@Builtin"
    assert registry.default_rerank_name == ""
    missing = next(status for status in registry.describe() if status.name == "all-MiniLM-L6-v2@Builtin")
    assert not missing.available
    assert "fetch_model" in missing.reason


def test_the_local_model_is_the_default_where_its_files_are(folder: Path) -> None:
    registry = Registry(ModelSettings(model_folder=str(folder)))
    assert registry.default_embedding_name == "all-MiniLM-L6-v2@Builtin"
    embedder = registry.embedder("")
    assert (embedder.name, embedder.dimension, embedder.default_vector_weight) == (
        "all-MiniLM-L6-v2@Builtin",
        384,
        0.5,
    )


@pytest.mark.usefixtures("_without_files")
def test_any_embedding_name_of_the_builtin_provider_is_usable(folder: Path) -> None:
    name = "BAAI/bge-small-en-v1.5@Builtin"
    bare, local = Registry(ModelSettings()), Registry(ModelSettings(model_folder=str(folder)))
    assert (bare.embedder(name).name, bare.embedder(name).dimension) == (name, 1024)
    assert (local.embedder(name).name, local.embedder(name).dimension) == (name, 384)
    assert local.embedder("Hash-1024@builtin").dimension == 1024


@pytest.mark.usefixtures("_without_files")
def test_the_local_model_is_not_replaced_silently_when_its_files_are_gone() -> None:
    with pytest.raises(ModelNotFound, match="EMBEDDING_MODEL_DIR"):
        Registry(ModelSettings()).embedder("all-MiniLM-L6-v2@Builtin")


@pytest.mark.parametrize(
    ("settings", "name", "hint"),
    [
        (ModelSettings(), "gpt-4o-mini@OpenAI", "OPENAI_API_KEY"),
        (ModelSettings(), "gpt-4o-mini", "OPENAI_API_KEY"),
        (ModelSettings(api_key="key"), "glm-4@ZHIPU-AI", "OPENAI_BASE_URL"),
        (ModelSettings(api_key="key"), "gpt-4o-mini@Builtin", "extractive@Builtin"),
        (ModelSettings(api_key="key"), "@OpenAI", "model@provider"),
    ],
)
def test_an_unknown_chat_model_is_named_with_what_to_do(settings: ModelSettings, name: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        Registry(settings).chat_model(name)
    assert hint in str(caught.value)
    assert name in str(caught.value) or name == "@OpenAI"


def test_there_is_no_builtin_reranker() -> None:
    for name in ("bge-reranker@Builtin", "bge-reranker@OpenAI"):
        with pytest.raises(ModelNotFound, match="bge-reranker"):
            Registry(ModelSettings()).reranker(name)


async def test_every_kind_of_model_of_a_provider_is_asked_at_the_base_url(server: ModelServer) -> None:
    registry = Registry(
        ModelSettings(
            base_url=server.url,
            api_key="key",
            chat_model="chatty",
            embedding_model="embeddy@Local",
            rerank_model="ranky",
            context_tokens=4096,
        )
    )
    assert names(registry) == {"chat": "chatty@OpenAI", "embedding": "embeddy@Local", "rerank": "ranky@OpenAI"}
    server.script(Reply(text="An oven.", endpoint="chat"))
    model = registry.chat_model("")
    assert (model.name, model.context_tokens, model.can_instruct) == ("chatty@OpenAI", 4096, True)
    assert (await complete(model, [Message("user", "What is a kiln?")])).text == "An oven."
    assert (await registry.embedder("").aembed_query("clay")).any()
    assert registry.reranker(registry.default_rerank_name).rerank("clay", ["clay"]) == [1.0]
    assert [exchange.body["model"] for exchange in server.exchanges] == ["chatty", "embeddy", "ranky"]
    assert registry.chat_model("glm-4-flash@ZHIPU-AI").name == "glm-4-flash@ZHIPU-AI"


def test_a_key_alone_means_openai_with_a_default_chat_model() -> None:
    registry = Registry(ModelSettings(api_key="key"))
    assert registry.default_chat_name == "gpt-4o-mini@OpenAI"
    assert registry.default_embedding_name.endswith("@Builtin")


def test_a_base_url_without_a_chat_model_changes_no_default() -> None:
    assert Registry(ModelSettings(base_url="http://127.0.0.1:9/v1")).default_chat_name == "extractive@Builtin"


def test_a_configured_model_without_a_provider_is_described_not_used() -> None:
    registry = Registry(ModelSettings(chat_model="chatty"))
    assert registry.default_chat_name == "extractive@Builtin"
    status = next(status for status in registry.describe() if status.name == "chatty")
    assert not status.available
    assert "OPENAI_API_KEY" in status.reason


@pytest.mark.parametrize(
    "base_url", ["127.0.0.1:9/v1", "ftp://models", "http://", "http://[::1", "http://host:port/v1"]
)
def test_a_base_url_that_is_none_is_described(base_url: str) -> None:
    registry = Registry(ModelSettings(base_url=base_url, chat_model="chatty"))
    status = next(status for status in registry.describe() if status.name == "chatty@OpenAI")
    assert not status.available
    assert "base URL" in status.reason


def test_the_key_is_not_in_what_is_printed() -> None:
    registry = Registry(ModelSettings(api_key="topsecretkey", chat_model="chatty"))
    assert "topsecretkey" not in repr(registry.settings)
    assert "topsecretkey" not in repr(registry.describe())


def test_models_are_built_once_also_by_many_threads() -> None:
    registry = Registry(ModelSettings())
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(registry.embedder("hash-1024@Builtin"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(embedder) for embedder in found}) == 1


def test_inventing_names_does_not_fill_the_memory() -> None:
    registry = Registry(ModelSettings())
    for number in range(1000):
        assert registry.embedder(f"hash-1024@{'builtin' if number % 2 else 'Builtin'}").dimension == 1024
        registry.embedder(f"invented-{number}@Builtin")
    assert len(registry._models) <= 256


@pytest.mark.skipif(minilm.find_model_folder(None, None) is None, reason="the model's files are not installed")
def test_two_names_of_the_local_model_give_the_same_vectors() -> None:
    registry = Registry(ModelSettings(threads=1))
    first, second = registry.embedder("x@Builtin"), registry.embedder("all-MiniLM-L6-v2@Builtin")
    np.testing.assert_array_equal(first.embed_query("a kiln"), second.embed_query("a kiln"))
