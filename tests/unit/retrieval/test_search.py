"""The one way from a question to passages, on the embedded store with the hashing model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import InvalidQuery, ModelError
from ragflow.engine.retrieval import RetrievalRequest, aretrieve, retrieve
from ragflow.engine.retrieval.search import EMBEDDED_CHARACTERS
from ragflow.engine.types import Chunk, DocumentCount, Matrix, Retrieval, Vector
from tests.unit.docstore.conformance import make

ASK = RetrievalRequest(dataset_ids=("data",), question="chunk", similarity_threshold=0.2)


class FixedEmbedder:
    """Gives every question the same vector and remembers what it was asked."""

    name, dimension, default_vector_weight = "fixed", 2, 0.3

    def __init__(self, vector: Sequence[float] = (1.0, 0.0)) -> None:
        self._vector, self.asked = np.array(vector, np.float32), list[str]()

    @property
    def calls(self) -> int:
        return len(self.asked)

    def embed(self, texts: Sequence[str]) -> Matrix:
        return np.stack([self._vector] * len(texts))

    def embed_query(self, text: str) -> Vector:
        self.asked.append(text)
        return self._vector

    async def aembed_query(self, text: str) -> Vector:
        return self.embed_query(text)


class FixedReranker:
    name = "fixed"

    def __init__(self, **scores: float) -> None:
        self._scores, self.seen = scores, list[str]()

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        self.seen = list(texts)
        return [self._scores.get(text.split()[-1], 0.0) for text in texts]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedDocStore]:
    store = EmbeddedDocStore(tmp_path / "chunks.db")
    yield store
    store.close()


def put(store: EmbeddedDocStore, *chunks: Chunk, vector: Sequence[float] = (1.0, 0.0)) -> None:
    store.upsert(chunks, np.array([vector] * len(chunks), np.float32))


def contents(result: Retrieval) -> list[str]:
    return [passage.chunk.content for passage in result.passages]


class TestContract:
    """Four short chunks hold the word asked for, the parsed one does not, whatever its vector says."""

    @pytest.fixture(autouse=True)
    def chunks(self, store: EmbeddedDocStore) -> None:
        put(store, *(make(f"chunk test {n}", manual=True) for n in range(4)), make("a parsed text of another kind"))

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"document_ids": ("doc",)},
            {"vector_similarity_weight": 0.0},
            {"vector_similarity_weight": 0.5},
            {"vector_similarity_weight": 10.0},
            {"vector_similarity_weight": -3.0},
            {"top_k": 10},
            {"top_k": 1},
            {"page_size": 5},
        ],
    )
    def test_text_first_returns_exactly_the_chunks_with_the_word(
        self, store: EmbeddedDocStore, changes: dict[str, object]
    ) -> None:
        request = replace(ASK, candidates="text_first", **changes)  # type: ignore[arg-type]
        result = retrieve(store, request, embedder=FixedEmbedder())
        assert sorted(contents(result)) == [f"chunk test {n}" for n in range(4)]
        assert result.total == 4
        assert result.documents == (DocumentCount("doc", "report.pdf", 4),)

    def test_fused_also_takes_a_near_vector_that_passes_the_threshold(self, store: EmbeddedDocStore) -> None:
        assert retrieve(store, ASK, embedder=FixedEmbedder()).total == 5
        assert retrieve(store, replace(ASK, similarity_threshold=0.4), embedder=FixedEmbedder()).total == 4

    def test_text_first_without_a_text_match_falls_back_to_vectors(self, store: EmbeddedDocStore) -> None:
        request = replace(ASK, question="unheard", candidates="text_first")
        assert retrieve(store, request, embedder=FixedEmbedder()).total == 5
        assert retrieve(store, request, embedder=FixedEmbedder((0.0, 1.0))).total == 0

    def test_pages_partition_the_results_and_end(self, store: EmbeddedDocStore) -> None:
        request = replace(ASK, candidates="text_first", page_size=2)
        pages = [retrieve(store, replace(request, page=n), embedder=FixedEmbedder()) for n in (1, 2, 3, 10**9)]
        assert [len(page.passages) for page in pages] == [2, 2, 0, 0]
        assert len({text for page in pages for text in contents(page)}) == 4
        assert {page.total for page in pages} == {4}

    def test_similarity_is_made_of_the_raw_scores_reported(self, store: EmbeddedDocStore) -> None:
        request = replace(ASK, vector_similarity_weight=0.25, question="chunk absent")
        for passage in retrieve(store, request, embedder=FixedEmbedder((0.6, 0.8))).passages:
            assert passage.vector_similarity == pytest.approx(0.6)
            assert passage.similarity == pytest.approx(0.25 * 0.6 + 0.75 * passage.term_similarity)

    def test_term_similarity_stands_alone_when_all_cosines_are_zero(self, store: EmbeddedDocStore) -> None:
        result = retrieve(store, ASK, embedder=FixedEmbedder((0.0, 0.0)))
        assert [passage.similarity for passage in result.passages] == [1.0] * 4

    async def test_the_async_twin_answers_the_same_a_hundred_times_at_once(self, store: EmbeddedDocStore) -> None:
        expected = retrieve(store, ASK, embedder=FixedEmbedder())
        answers = await asyncio.gather(*(aretrieve(store, ASK, embedder=FixedEmbedder()) for _ in range(100)))
        assert all(answer == expected for answer in answers)


class TestRequests:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("top_k", 0),
            ("top_k", -1),
            ("page", 0),
            ("page_size", -5),
            ("similarity_threshold", float("nan")),
            ("vector_similarity_weight", float("inf")),
        ],
    )
    async def test_values_out_of_range_are_named(self, store: EmbeddedDocStore, field: str, value: float) -> None:
        request = replace(ASK, **{field: value})  # type: ignore[arg-type]
        for attempt in (lambda: retrieve(store, request, embedder=FixedEmbedder()),):
            with pytest.raises(InvalidQuery) as caught:
                attempt()
            assert caught.value.field == field
        with pytest.raises(InvalidQuery):
            await aretrieve(store, request, embedder=FixedEmbedder())

    def test_top_k_message(self, store: EmbeddedDocStore) -> None:
        with pytest.raises(InvalidQuery, match="must be greater than 0"):
            retrieve(store, replace(ASK, top_k=-1), embedder=FixedEmbedder())

    @pytest.mark.parametrize("changes", [{"question": "  \n"}, {"dataset_ids": ()}, {"document_ids": ()}])
    async def test_nothing_to_find_asks_no_model(self, store: EmbeddedDocStore, changes: dict[str, object]) -> None:
        put(store, make("chunk"))
        embedder = FixedEmbedder()
        request = replace(ASK, **changes)  # type: ignore[arg-type]
        assert retrieve(store, request, embedder=embedder) == await aretrieve(store, request, embedder=embedder)
        assert retrieve(store, request, embedder=embedder).total == embedder.calls == 0

    async def test_a_long_question_is_embedded_in_part_and_searched_whole(self, store: EmbeddedDocStore) -> None:
        put(store, make("aileron"), vector=(0.0, 1.0))
        embedder = FixedEmbedder()
        request = replace(ASK, question="x" * 10_000 + " aileron", similarity_threshold=0.1)
        found = retrieve(store, request, embedder=embedder), await aretrieve(store, request, embedder=embedder)
        assert [contents(retrieval) for retrieval in found] == [["aileron"]] * 2
        assert [len(text) for text in embedder.asked] == [EMBEDDED_CHARACTERS] * 2

    def test_extra_terms_are_searched_as_text(self, store: EmbeddedDocStore) -> None:
        put(store, make("aileron"), vector=(0.0, 1.0))
        assert retrieve(store, ASK, embedder=FixedEmbedder()).total == 0
        found = retrieve(store, replace(ASK, extra_terms=("aileron",)), embedder=FixedEmbedder())
        assert contents(found) == ["aileron"]

    def test_the_model_chooses_the_weight_unless_the_caller_does(self, store: EmbeddedDocStore) -> None:
        put(store, make("chunk"), vector=(0.6, 0.8))
        embedder = FixedEmbedder()
        assert retrieve(store, ASK, embedder=embedder).passages[0].similarity == pytest.approx(0.3 * 0.6 + 0.7)


class TestOrder:
    def test_the_rarer_word_and_the_nearer_vector_come_first(self, store: EmbeddedDocStore) -> None:
        put(store, *(make(f"common number{n}") for n in range(8)), vector=(0.6, 0.8))
        put(store, make("common rare"), vector=(0.6, 0.8))
        put(store, make("common near"), vector=(1.0, 0.0))
        request = replace(ASK, question="common rare", similarity_threshold=0.0)
        assert contents(retrieve(store, request, embedder=FixedEmbedder()))[0] == "common rare"
        heavy = replace(request, vector_similarity_weight=0.9)
        assert contents(retrieve(store, heavy, embedder=FixedEmbedder()))[0] == "common near"

    def test_pagerank_moves_a_dataset_up_without_touching_similarities(self, store: EmbeddedDocStore) -> None:
        put(store, make("chunk chunk chunk", dataset="data"), make("a chunk of other things", dataset="boosted"))
        request = replace(ASK, dataset_ids=("data", "boosted"))
        plain = retrieve(store, request, embedder=FixedEmbedder())
        boosted = retrieve(store, replace(request, pageranks={"boosted": 100}), embedder=FixedEmbedder())
        assert [passage.chunk.dataset_id for passage in plain.passages] == ["data", "boosted"]
        assert [passage.chunk.dataset_id for passage in boosted.passages] == ["boosted", "data"]
        assert {p.chunk.id: p.similarity for p in plain.passages} == {
            p.chunk.id: p.similarity for p in boosted.passages
        }

    def test_documents_are_counted_over_all_results_most_first(self, store: EmbeddedDocStore) -> None:
        put(store, *(make(f"chunk {n}", document="many", document_name="m.txt") for n in range(3)))
        put(store, make("chunk", document="one", document_name="o.txt"), make("unrelated"), vector=(0.0, 1.0))
        result = retrieve(store, replace(ASK, page_size=1), embedder=FixedEmbedder((1.0, 0.0)))
        assert result.total == 4
        assert result.documents == (DocumentCount("many", "m.txt", 3), DocumentCount("one", "o.txt", 1))


class TestReranking:
    def test_the_model_score_replaces_the_cosine(self, store: EmbeddedDocStore) -> None:
        put(store, make("chunk good"), make("chunk bad"))
        reranker = FixedReranker(good=0.9, bad=0.1)
        request = replace(ASK, vector_similarity_weight=0.5)
        result = retrieve(store, request, embedder=FixedEmbedder(), reranker=reranker)
        assert [(p.chunk.content, p.vector_similarity) for p in result.passages] == [
            ("chunk good", 0.9),
            ("chunk bad", 0.1),
        ]
        assert result.passages[1].similarity == pytest.approx(0.5 * 0.1 + 0.5)
        strict = replace(request, similarity_threshold=0.6)
        assert retrieve(store, strict, embedder=FixedEmbedder(), reranker=reranker).total == 1

    def test_only_the_best_are_shown_to_the_model_and_the_others_follow(self, store: EmbeddedDocStore) -> None:
        put(store, *(make(f"chunk number{n}") for n in range(100)))
        reranker = FixedReranker()
        request = replace(ASK, page_size=100, similarity_threshold=0.0)
        result = retrieve(store, request, embedder=FixedEmbedder(), reranker=reranker)
        assert len(reranker.seen) == 64
        assert result.total == 100
        assert {p.chunk.content for p in result.passages[:64]} == set(reranker.seen)

    def test_an_answer_of_another_length_is_an_error(self, store: EmbeddedDocStore) -> None:
        class Short(FixedReranker):
            def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
                return [1.0]

        put(store, make("chunk a"), make("chunk b"))
        with pytest.raises(ModelError, match="1 scores for 2 texts"):
            retrieve(store, ASK, embedder=FixedEmbedder(), reranker=Short())

    async def test_the_async_twin_reranks_too(self, store: EmbeddedDocStore) -> None:
        put(store, make("chunk good"), make("chunk bad"))
        reranker = FixedReranker(good=0.9, bad=0.1)
        assert await aretrieve(store, ASK, embedder=FixedEmbedder(), reranker=reranker) == retrieve(
            store, ASK, embedder=FixedEmbedder(), reranker=reranker
        )


class TestParents:
    def test_children_are_replaced_by_their_parent_with_the_mean_similarity(self, store: EmbeddedDocStore) -> None:
        family = {"parent_id": "p" * 16, "parent_content": "chunk one. chunk two."}
        put(store, make("chunk one", **family), vector=(1.0, 0.0))
        put(store, make("chunk two", **family), vector=(0.0, 1.0))
        put(store, make("chunk alone"), vector=(1.0, 0.0))
        request = replace(ASK, vector_similarity_weight=0.5)
        result = retrieve(store, request, embedder=FixedEmbedder())
        assert contents(result) == ["chunk alone", "chunk one. chunk two."]
        assert result.total == 2
        parent = result.passages[1]
        assert parent.chunk.id == "p" * 16
        assert (parent.similarity, parent.vector_similarity) == (pytest.approx(0.75), pytest.approx(0.5))
        assert result.documents == (DocumentCount("doc", "report.pdf", 2),)


def test_highlight_covers_every_passage_or_none(store: EmbeddedDocStore) -> None:
    put(store, make("The Chunks"), make("near only"))
    with_marks = retrieve(store, replace(ASK, highlight=True), embedder=FixedEmbedder())
    assert {p.highlight for p in with_marks.passages} == {"The <em>Chunks</em>", "near only"}
    without = retrieve(store, ASK, embedder=FixedEmbedder())
    assert {p.highlight for p in without.passages} == {None}


def test_identifiers_are_found_by_prefixes_at_underscores(store: EmbeddedDocStore) -> None:
    embedder = HashingEmbedder()
    names = [f"UNIQUE_NAME_{n}_{n}9" for n in range(3)]
    chunks = [make(name, manual=True) for name in names]
    store.upsert(chunks, embedder.embed(names))
    exact = retrieve(store, replace(ASK, question=names[1]), embedder=embedder)
    assert contents(exact)[0] == names[1]
    assert retrieve(store, replace(ASK, question="UNIQUE_NAME"), embedder=embedder).total == 3
    store.delete_chunks("data", "doc", [chunk.id for chunk in chunks])
    assert retrieve(store, replace(ASK, question=names[1]), embedder=embedder).total == 0
