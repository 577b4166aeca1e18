"""The local embedding model and its graph. Tests that need the 90 MB of weights are skipped where they are missing."""

import json
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ragflow.engine.embedding import minilm
from ragflow.engine.embedding.minilm import GRAPH, MiniLMEmbedder, find_model_folder
from ragflow.engine.embedding.minilm_graph import WEIGHTS_FILE, build_graph
from ragflow.engine.errors import ModelError

FOLDER = find_model_folder(None, None)
needs_weights = pytest.mark.skipif(FOLDER is None, reason="the package of requirements/model.txt is not installed")

TINY = {
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 16,
    "layer_norm_eps": 1e-12,
}
Tensors = dict[str, NDArray[np.float32]]


# -- the graph -----------------------------------------------------------------------------------------------------


def tiny_tensors() -> Tensors:
    hidden, wide = TINY["hidden_size"], TINY["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (20, hidden),
        "embeddings.position_embeddings.weight": (10, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(int(TINY["num_hidden_layers"])):
        linears = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (wide, hidden),
            "output.dense": (hidden, wide),
            "attention.output.LayerNorm": (hidden,),
            "output.LayerNorm": (hidden,),
        }
        for name, shape in linears.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    random = np.random.default_rng(7)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_model(folder: Path, tensors: Tensors) -> None:
    header, data = {}, b""
    for name, tensor in tensors.items():
        content = tensor.tobytes()
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    encoded = json.dumps(header).encode()
    (folder / "config.json").write_text(json.dumps(TINY))
    (folder / WEIGHTS_FILE).write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


def layer_norm(x: NDArray[np.float32], tensors: Tensors, name: str) -> NDArray[np.float32]:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True)) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def linear(x: NDArray[np.float32], tensors: Tensors, name: str) -> NDArray[np.float32]:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    from math import erf

    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


def reference(tokens: list[int], tensors: Tensors) -> NDArray[np.float32]:
    """BERT with mean pooling for one unpadded sequence, written from the paper."""
    heads, hidden = int(TINY["num_attention_heads"]), int(TINY["hidden_size"])
    x = tensors["embeddings.word_embeddings.weight"][tokens] + tensors["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x + tensors["embeddings.position_embeddings.weight"][: len(tokens)], tensors, "embeddings.LayerNorm")
    for layer in range(int(TINY["num_hidden_layers"])):
        name = f"encoder.layer.{layer}"
        query, key, value = (linear(x, tensors, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        context = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * hidden // heads, (head + 1) * hidden // heads)
            scores = np.exp(query[:, part] @ key[:, part].T / np.sqrt(hidden // heads))
            context[:, part] = scores / scores.sum(-1, keepdims=True) @ value[:, part]
        attended = linear(context, tensors, f"{name}.attention.output.dense")
        x = layer_norm(attended + x, tensors, f"{name}.attention.output.LayerNorm")
        widened = linear(gelu(linear(x, tensors, f"{name}.intermediate.dense")), tensors, f"{name}.output.dense")
        x = layer_norm(widened + x, tensors, f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_the_graph_computes_bert_with_mean_pooling_and_ignores_padding(tmp_path: Path) -> None:
    import onnxruntime

    tensors = tiny_tensors()
    write_model(tmp_path, tensors)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(tmp_path))
    session = onnxruntime.InferenceSession(build_graph(tmp_path), options, providers=["CPUExecutionProvider"])
    inputs = {
        "input_ids": np.array([[1, 5, 9, 2], [3, 4, 0, 0]]),
        "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    (vectors,) = session.run(None, inputs)
    np.testing.assert_allclose(vectors[0], reference([1, 5, 9, 2], tensors), atol=1e-5)
    np.testing.assert_allclose(vectors[1], reference([3, 4], tensors), atol=1e-5)


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, tiny_tensors())
    weights = (tmp_path / WEIGHTS_FILE).read_bytes()
    (tmp_path / WEIGHTS_FILE).write_bytes(weights.replace(b'"F32"', b'"F16"'))
    with pytest.raises(ValueError, match="F16"):
        build_graph(tmp_path)


@needs_weights
def test_the_committed_graph_is_what_its_generator_writes() -> None:
    assert FOLDER is not None
    assert build_graph(FOLDER) == GRAPH.read_bytes()


# -- finding the files ---------------------------------------------------------------------------------------------


def fake_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in minilm.FILES:
        (folder / name).write_bytes(b"")
    return folder


def test_the_configured_folder_comes_first_and_the_cache_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    cache = tmp_path / "cache"
    assert find_model_folder(tmp_path / "mine", cache) is None
    cached = fake_folder(cache / "all-MiniLM-L6-v2")
    assert find_model_folder(tmp_path / "mine", cache) == cached
    mine = fake_folder(tmp_path / "mine")
    assert find_model_folder(mine, cache) == mine
    (mine / "tokenizer.json").unlink()
    assert find_model_folder(mine, cache) == cached


def test_the_package_is_located_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "explosive_package")
    folder = fake_folder(tmp_path / "explosive_package" / "model")
    (tmp_path / "explosive_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_model_folder(None, None) == folder


def test_other_weights_are_refused_before_the_graph_points_into_them(tmp_path: Path) -> None:
    write_model(tmp_path, tiny_tensors())
    with pytest.raises(ModelError, match="not the published"):
        MiniLMEmbedder(tmp_path).embed(["clay"])


def test_files_that_went_away_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fetch_model"):
        MiniLMEmbedder(tmp_path / "gone").embed(["clay"])


# -- embedding -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedder() -> MiniLMEmbedder:
    assert FOLDER is not None
    return MiniLMEmbedder(FOLDER, threads=1)


@needs_weights
def test_meaning_decides_similarity(embedder: MiniLMEmbedder) -> None:
    cat, kitten, stocks = embedder.embed(
        ["A cat sits on the mat.", "A kitten is lying on a rug.", "Stock prices fell sharply."]
    )
    assert cat @ kitten > 0.5
    assert cat @ stocks < 0.2


@needs_weights
def test_rows_keep_their_order_and_do_not_depend_on_the_batch(embedder: MiniLMEmbedder) -> None:
    texts = [f"{'kiln ' * (number % 7)}number {number}" for number in range(70)]
    together = embedder.embed(texts)
    for row in (0, 33, 69):
        np.testing.assert_allclose(together[row], embedder.embed([texts[row]])[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert together.dtype == np.float32


@needs_weights
def test_text_without_tokens_has_a_zero_row_and_odd_text_a_vector(embedder: MiniLMEmbedder) -> None:
    vectors = embedder.embed(["", " \n\t", "\x00\x01", "!?", "…", "half \ud83d", "[SEP]", "窑炉"])
    assert [bool(row.any()) for row in vectors] == [False] * 3 + [True] * 5
    assert np.isfinite(vectors).all()
    assert embedder.embed([]).shape == (0, 384)


@needs_weights
def test_long_text_is_the_mean_of_its_windows(embedder: MiniLMEmbedder) -> None:
    opening, ending = "clay " * 200, "engine " * 200  # one token each
    parts = embedder.embed([opening, ending])
    mean = parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0))
    np.testing.assert_allclose(embedder.embed([opening + ending])[0], mean, atol=1e-5)


@needs_weights
async def test_queries_are_the_same_from_everywhere_and_cannot_be_changed(embedder: MiniLMEmbedder) -> None:
    vector = embedder.embed_query("What is a kiln?")
    np.testing.assert_allclose(vector, embedder.embed(["What is a kiln?"])[0], atol=1e-6)
    np.testing.assert_array_equal(await embedder.aembed_query("What is a kiln?"), vector)
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1.0


@needs_weights
def test_threads_that_need_the_model_first_load_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FOLDER is not None
    opened = []
    open_session = minilm._open_session
    monkeypatch.setattr(minilm, "_open_session", lambda *args: opened.append(args) or open_session(*args))
    minilm._load_once.cache_clear()
    expected = minilm.MiniLMEmbedder(FOLDER, threads=1)
    results: list[NDArray[np.float32]] = []
    threads = [threading.Thread(target=lambda: results.append(expected.embed(["a kiln"])[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len(results) == 6
    np.testing.assert_allclose(results, [results[0]] * 6, atol=1e-6)


@pytest.mark.parametrize("lengths", [[], [1], [5] * 32, [5] * 33, [10, 200, 254, 254], [254] * 40, list(range(1, 255))])
def test_batches_are_complete_and_small(lengths: list[int]) -> None:
    windows = [(number, [0] * length) for number, length in enumerate(lengths)]
    batches = list(minilm.batched(windows))
    assert [window for batch in batches for window in batch] == windows
    for batch in batches:
        assert 1 <= len(batch) <= minilm.BATCH_ROWS
        assert len(batch) * (max(len(tokens) for _, tokens in batch) + 2) <= minilm.BATCH_TOKENS
