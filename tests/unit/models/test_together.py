"""Questions that arrive while the model is busy share its next run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ragflow.engine.embedding.minilm import _Together
from ragflow.engine.errors import ModelError
from ragflow.engine.types import Matrix


class SlowModel:
    """Embeds a text as its length. The first run lasts until it is released."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.busy, self.released = threading.Event(), threading.Event()

    def embed(self, texts: Sequence[str]) -> Matrix:
        self.runs.append(list(texts))
        self.busy.set()
        assert self.released.wait(10)
        if "bad" in texts:
            raise ModelError("The model failed.")
        return np.array([[len(text)] for text in texts], np.float32)


def ask_while_busy(model: SlowModel, questions: list[str]) -> list[object]:
    """Ask one question, the others while it is being embedded, and return each one's vector or error."""
    together = _Together(model.embed)

    def ask(question: str) -> object:
        try:
            return float(together.embed(question)[0])
        except ModelError as error:
            return str(error)

    with ThreadPoolExecutor(len(questions)) as threads:
        first = threads.submit(ask, questions[0])
        assert model.busy.wait(10)
        others = [threads.submit(ask, question) for question in questions[1:]]
        while len(together._line) < len(others):
            threading.Event().wait(0.001)
        model.released.set()
        return [first.result(10), *(other.result(10) for other in others)]


def test_those_who_waited_are_embedded_in_one_run_and_each_gets_its_own_vector():
    model = SlowModel()
    assert ask_while_busy(model, ["a", "bb", "ccc", "dddd"]) == [1.0, 2.0, 3.0, 4.0]
    assert [sorted(run) for run in model.runs] == [["a"], ["bb", "ccc", "dddd"]]


def test_a_failing_run_fails_for_those_in_it_and_for_nobody_else():
    model = SlowModel()
    assert ask_while_busy(model, ["a", "bad", "ccc"]) == [1.0, "The model failed.", "The model failed."]
    together = _Together(model.embed)
    assert together.embed("again")[0] == 5
    with pytest.raises(ModelError):
        together.embed("bad")
