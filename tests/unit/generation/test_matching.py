import numpy as np
import pytest

from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.generation import HybridSimilarity
from ragflow.engine.generation.citations import insert_citations
from tests.unit.generation.conftest import passage

PASSAGES = [passage(0, "Paris is the capital of France."), passage(1, "Gulls nest on the lighthouse in spring.")]


@pytest.fixture
def store(tmp_path):
    store = EmbeddedDocStore(tmp_path / "store.db")
    yield store
    store.close()


def stored(store, embedder, passages):
    chunks = [passage.chunk for passage in passages]
    store.upsert(chunks, embedder.embed([chunk.content for chunk in chunks]))


def test_sentences_agree_with_the_passage_they_come_from(store):
    embedder = HashingEmbedder()
    stored(store, embedder, PASSAGES)
    similarity = HybridSimilarity(store, embedder, vector_weight=0.3)
    matrix = similarity(["The capital of France is Paris.", "In spring gulls nest there."], PASSAGES)
    assert matrix.shape == (2, 2)
    assert matrix[0, 0] > 0.6 > 0.2 > matrix[0, 1]
    assert matrix[1, 1] > 0.5 > matrix[1, 0]
    answer = insert_citations("The capital of France is Paris. In spring gulls nest there.", PASSAGES, similarity)
    assert answer.text == "The capital of France is Paris. [ID:0] In spring gulls nest there. [ID:1]"


def test_a_passage_that_is_not_stored_is_embedded(store):
    embedder = HashingEmbedder()
    stored(store, embedder, PASSAGES[:1])
    vectors_only = HybridSimilarity(store, embedder, vector_weight=1.0)
    np.testing.assert_allclose(vectors_only([PASSAGES[1].chunk.content], PASSAGES)[0, 1], 1.0, atol=1e-5)


def test_vectors_of_another_length_are_not_compared(store):
    store.upsert([PASSAGES[0].chunk], np.ones((1, 3), dtype=np.float32))
    vectors_only = HybridSimilarity(store, HashingEmbedder(), vector_weight=1.0)
    np.testing.assert_allclose(vectors_only([PASSAGES[0].chunk.content], PASSAGES[:1])[0, 0], 1.0, atol=1e-5)


def test_a_sentence_without_words_agrees_with_nothing_by_its_terms(store):
    embedder = HashingEmbedder()
    stored(store, embedder, PASSAGES)
    assert HybridSimilarity(store, embedder, vector_weight=0.0)(["... !"], PASSAGES).tolist() == [[0.0, 0.0]]
