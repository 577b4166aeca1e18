"""The embedding model without files."""

import numpy as np
import pytest
import xxhash

from ragflow.engine.embedding.hashing import HashingEmbedder


@pytest.fixture
def embedder() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("how is clay fired in a kiln", "Clay is fired in kilns.", "Steam turbines drive generators."),
        ("electrification", "They electrified the line.", "They painted the house."),
        ("窑炉的温度是多少", "这座窑炉的温度很高。", "汽轮机驱动发电机。"),
        ("가마 온도", "가마의 온도는 높다", "증기 터빈은 발전기를 돌린다"),
        ("печь для глины", "Глину обжигают в печи", "Паровая турбина вращает вал"),
    ],
)
def test_shared_words_and_word_parts_make_texts_similar(
    embedder: HashingEmbedder, query: str, near: str, far: str
) -> None:
    first, second, third = embedder.embed([query, near, far])
    assert first @ second > first @ third + 0.1


def test_vectors_never_change_between_versions(embedder: HashingEmbedder) -> None:
    """Stored vectors would no longer match new ones."""
    vector = embedder.embed_query("The kilns of Jingdezhen, 景德镇")
    rounded = (vector * 1000).round().astype("<i2")
    assert xxhash.xxh64_hexdigest(rounded.tobytes()) == "845f098e8b6c2fd3"


def test_case_width_and_punctuation_do_not_matter(embedder: HashingEmbedder) -> None:
    first, second = embedder.embed(["Kiln, TEMPERATURE!", "ｋｉｌｎ  temperature"])
    np.testing.assert_array_equal(first, second)


async def test_rows_are_unit_vectors_and_empty_text_a_zero_row(embedder: HashingEmbedder) -> None:
    texts = ["clay", "", "...", "a", "\ud83d", "的", "clay " * 10_000]
    vectors = embedder.embed(texts)
    assert vectors.shape == (7, 1024)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0, 1, 0, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(vectors[0], embedder.embed_query("clay"))
    np.testing.assert_array_equal(vectors[0], await embedder.aembed_query("clay"))
    assert embedder.embed([]).shape == (0, 1024)
