"""What every document store must do. A backend's tests subclass `DocStoreConformance` and give it a `store` fixture.

The fixture yields an empty store; ids are fixed, so a server-backed store needs a fresh index per test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ragflow.engine.docstore.base import Candidates, ChunkCount, DocStore, SearchRequest
from ragflow.engine.errors import DimensionMismatch, StoreError, VectorsMissing
from ragflow.engine.ids import chunk_id
from ragflow.engine.types import Chunk, Matrix, Position, Vector

DIMENSION = 8


def make(content: str, *, dataset: str = "data", document: str = "doc", **fields: object) -> Chunk:
    values: dict[str, object] = {"document_name": "report.pdf", "token_count": 1} | fields
    return Chunk(
        id=chunk_id(content, document),
        dataset_id=dataset,
        document_id=document,
        content=content,
        **values,  # type: ignore[arg-type]
    )


def unit(seed: int, dimension: int = DIMENSION) -> Vector:
    vector = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def units(count: int, dimension: int = DIMENSION) -> Matrix:
    return np.stack([unit(seed, dimension) for seed in range(count)])


def put(store: DocStore, *chunks: Chunk) -> None:
    store.upsert(chunks, units(len(chunks)))


def fill(store: DocStore, space: int, *, dimension: int = DIMENSION, seed: int = 0, dataset: str = "data") -> set[str]:
    """Give all chunks that lack one a vector in a space; return their contents. "one" and "two" come in this order."""
    lacking = sorted(store.lacking(dataset, space), key=lambda item: item.chunk.content)
    vectors = np.stack([unit(seed + n, dimension) for n in range(len(lacking))])
    for start in range(0, len(lacking), 100):
        part = slice(start, start + 100)
        assert store.add_vectors(dataset, space, lacking[part], vectors[part]) == len(lacking[part])
    return {item.chunk.content for item in lacking}


def ask(store: DocStore, text: str = "", vector: Vector | None = None, **fields: object) -> Candidates:
    values: dict[str, object] = {"dataset_ids": ("data",)} | fields
    return store.search(SearchRequest(text=text, vector=vector, **values))  # type: ignore[arg-type]


def found(store: DocStore, text: str = "", vector: Vector | None = None, **fields: object) -> set[str]:
    candidates = ask(store, text, vector, **fields)
    return {chunk.content for chunk in store.load(list(candidates.handles)) if chunk is not None}


def by_content(store: DocStore, candidates: Candidates, column: Sequence[float]) -> dict[str, float]:
    chunks = store.load(list(candidates.handles))
    return {chunk.content: float(value) for chunk, value in zip(chunks, column, strict=True) if chunk is not None}


def listed(store: DocStore, *, offset: int = 0, limit: int = 100, text: str = "", document: str = "doc") -> list[str]:
    page = store.list_chunks("data", document, offset=offset, limit=limit, text=text)
    return [chunk.content for chunk in page.chunks]


class DocStoreConformance:
    # -- writing and reading back ----------------------------------------------------------------------------------

    def test_a_chunk_comes_back_as_it_was_written(self, store: DocStore) -> None:
        chunk = make(
            "content",
            kind="table",
            keywords=("one", "", "one"),
            questions=("why?", "how?"),
            positions=(Position(1, 2.5, 3, 4, 5.25), Position(2, 0, 0, 1, 1)),
            parent_id="p" * 16,
            parent_content="whole content",
            image_id="data-image",
            available=False,
            order=7,
            token_count=11,
            created_at=1234.5,
        )
        put(store, chunk)
        assert store.get(["other", "data"], chunk.id) == chunk

    def test_an_existing_chunk_is_replaced_in_data_text_and_vector(self, store: DocStore) -> None:
        chunk = make("zebra")
        put(store, chunk)
        put(store, replace(chunk, content="giraffe"))
        store.upsert([replace(chunk, content="giraffe")], unit(5)[None])
        assert store.count("data") == ChunkCount(1, 1)
        assert found(store, "zebra") == set()
        assert found(store, "giraffe") == {"giraffe"}
        assert ask(store, "giraffe", unit(5)).cosine[0] == pytest.approx(1.0, abs=1e-5)

    def test_the_same_chunk_twice_in_one_call_counts_once_and_the_last_wins(self, store: DocStore) -> None:
        chunk = make("first")
        put(store, chunk, replace(chunk, content="second"))
        assert listed(store) == ["second"]
        assert store.count("data").chunks == 1

    def test_the_same_chunk_in_two_datasets_is_two_chunks(self, store: DocStore) -> None:
        here, there = make("text"), make("text", dataset="other")
        put(store, here, there)
        store.delete_chunks("data", "doc", [here.id])
        assert store.get(["data"], here.id) is None
        assert store.get(["other"], here.id) == there

    def test_a_failed_write_leaves_nothing_behind(self, store: DocStore) -> None:
        put(store, make("kept", dataset="old"))
        with pytest.raises(DimensionMismatch):
            store.upsert([make("new"), make("clash", dataset="old")], units(2, dimension=DIMENSION + 1))
        assert store.count("data").chunks == 0
        assert store.count("old").chunks == 1

    def test_an_emptied_dataset_takes_vectors_of_another_length(self, store: DocStore) -> None:
        put(store, make("short"))
        found(store, "short", unit(0))
        store.delete_document("data", "doc")
        store.upsert([make("long")], units(1, dimension=DIMENSION * 2))
        assert found(store, "", unit(0, DIMENSION * 2)) == {"long"}

    def test_unknown_names_are_empty_not_errors(self, store: DocStore) -> None:
        assert store.get(["nowhere"], "x") is None
        assert store.get([], "x") is None
        assert store.list_chunks("nowhere", "doc", offset=0, limit=10).total == 0
        assert store.count("nowhere") == store.count("nowhere", "doc") == ChunkCount(0, 0)
        assert store.delete_chunks("nowhere", "doc", ["x"]) == ChunkCount(0, 0)
        assert store.delete_document("nowhere", "doc") == ChunkCount(0, 0)
        assert store.delete_dataset("nowhere") == 0
        assert store.set_available("nowhere", "doc", False) == 0
        assert store.counts_by_document("nowhere") == {}
        assert store.dataset_ids() == set()
        assert store.available_ids("nowhere", "doc") == set()
        assert store.vectors(["nowhere"], ["x"]) == {}
        store.rename_document("nowhere", "doc", "name")
        assert len(ask(store, "anything", unit(0))) == 0

    @pytest.mark.parametrize(
        "content",
        [
            '"',
            "*",
            "a AND NOT b",
            "NEAR(x y)",
            "col:term",
            "nul \0 inside",
            "()",
            "-",
            "'; DROP TABLE chunk; --",
            "🎉 👩‍👩‍👧",
        ],
    )
    def test_odd_text_is_stored_as_it_is_and_harmless_in_queries(self, store: DocStore, content: str) -> None:
        put(store, make(content))
        assert listed(store) == [content]
        ask(store, content, unit(0))
        store.list_chunks("data", "doc", offset=0, limit=10, text=content)

    def test_lone_surrogates_are_replaced_everywhere(self, store: DocStore) -> None:
        put(store, make("half \ud83d emoji", keywords=("\udc00",), document_name="\ud800.txt", document="d\udfff"))
        assert [c.content for c in store.list_chunks("data", "d\udfff", offset=0, limit=1).chunks] == ["half � emoji"]
        assert found(store, "half \ud83d") == {"half � emoji"}
        assert store.get(["data\ud800"], "\ud800") is None

    def test_a_megabyte_in_one_chunk(self, store: DocStore) -> None:
        content = "word " * 200_000 + "needle " + "x" * 100_000
        put(store, make(content))
        assert found(store, "needle") == {content}

    # -- listing ---------------------------------------------------------------------------------------------------

    def test_parsed_chunks_list_in_document_order_then_manual_ones_newest_first(self, store: DocStore) -> None:
        put(
            store,
            make("old note", manual=True, created_at=10.0),
            make("second", order=1, created_at=50.0),
            make("new note", manual=True, created_at=20.0),
            make("first", order=0, created_at=60.0),
            make("tenth", order=10),
        )
        assert listed(store) == ["first", "second", "tenth", "new note", "old note"]

    def test_pages_cover_the_list_once_and_end(self, store: DocStore) -> None:
        put(store, *(make(f"chunk {n}", order=n) for n in range(5)))
        pages = [listed(store, offset=offset, limit=2) for offset in (0, 2, 4, 6)]
        assert pages == [["chunk 0", "chunk 1"], ["chunk 2", "chunk 3"], ["chunk 4"], []]
        assert store.list_chunks("data", "doc", offset=10**30, limit=10**30).total == 5

    def test_unavailable_chunks_are_listed(self, store: DocStore) -> None:
        put(store, make("off", available=False))
        assert listed(store) == listed(store, text="off") == ["off"]

    def test_keyword_list_finds_whole_words_in_this_document_only(self, store: DocStore) -> None:
        put(
            store,
            make("item 7", manual=True),
            make("item 17", manual=True),
            make("FOO_BAR_TEST_3_99", manual=True),
            make("item 7 elsewhere", document="doc2"),
        )
        assert listed(store, text="7") == ["item 7"]
        assert listed(store, text="FOO_BAR_TEST") == ["FOO_BAR_TEST_3_99"]
        assert listed(store, text="FOO_BAR") == ["FOO_BAR_TEST_3_99"]
        assert listed(store, text="FO") == []
        assert listed(store, text="nowhere") == []
        assert listed(store, text="!?") == []

    def test_keyword_list_has_totals_and_pages_best_first(self, store: DocStore) -> None:
        put(store, *(make(f"apple {'pear ' * n}filler filler", order=n) for n in range(1, 6)))
        page = store.list_chunks("data", "doc", offset=0, limit=2, text="pear")
        assert page.total == 5
        assert page.chunks[0].order == 5
        assert len(listed(store, offset=4, limit=2, text="pear")) == 1

    def test_file_names_are_searchable_for_parsed_chunks_only(self, store: DocStore) -> None:
        put(
            store,
            make("parsed", document_name="alpha_beta_0.txt"),
            make("manual", document_name="alpha_beta_0.txt", manual=True),
        )
        assert listed(store, text="alpha") == ["parsed"]
        assert listed(store, text="alph") == listed(store, text="txt") == []

    def test_keywords_and_questions_are_searchable_and_weigh_more_than_content(self, store: DocStore) -> None:
        put(
            store,
            make("body mentions saturn", order=0),
            make("a", order=1, keywords=("saturn",)),
            make("b", order=2, questions=("Which planet is saturn?",)),
        )
        candidates = ask(store, "saturn")
        scores = by_content(store, candidates, candidates.bm25)
        assert set(scores) == {"body mentions saturn", "a", "b"}
        assert scores["a"] > scores["body mentions saturn"]
        assert scores["b"] > scores["body mentions saturn"]

    # -- changing --------------------------------------------------------------------------------------------------

    def test_availability_of_some_and_of_all_chunks(self, store: DocStore) -> None:
        one, two = make("one thing"), make("two thing")
        put(store, one, two)
        assert store.set_available("data", "doc", False, [one.id, "missing"]) == 1
        assert found(store, "thing", unit(0)) == {"two thing"}
        assert found(store, "thing", only_available=False) == {"one thing", "two thing"}
        assert store.set_available("data", "doc", True) == 2
        assert found(store, "thing", unit(0)) == {"one thing", "two thing"}
        assert store.set_available("data", "doc", False, []) == 0

    def test_availability_of_a_large_document(self, store: DocStore) -> None:
        chunks = [make(f"thing {n}") for n in range(450)]
        store.upsert(chunks, np.repeat(unit(0)[None], 450, axis=0))
        assert store.set_available("data", "doc", False, [chunk.id for chunk in chunks[:300]]) == 300
        assert len(found(store, "thing")) == 150
        assert store.set_available("data", "doc", False) == store.set_available("data", "doc", False) == 450
        assert found(store, "thing", unit(0)) == set()
        assert store.set_available("data", "doc", True) == 450
        assert len(found(store, "thing")) == 450

    def test_a_replaced_chunk_keeps_its_place_and_takes_the_new_availability(self, store: DocStore) -> None:
        first, second = make("first", order=0), make("second", order=1)
        notes = [make(f"note {n}", manual=True, created_at=float(n)) for n in range(3)]
        put(store, first, second, *notes)
        put(store, replace(first, content="changed", available=False), replace(notes[1], content="changed too"))
        assert listed(store) == ["changed", "second", "note 2", "changed too", "note 0"]
        assert found(store, "changed") == {"changed too"}
        assert found(store, "changed", only_available=False) == {"changed", "changed too"}

    def test_renaming_changes_data_and_searchable_name_of_parsed_chunks(self, store: DocStore) -> None:
        put(
            store,
            *(make(f"part {n}", order=n, document_name="winter.txt") for n in range(3)),
            make("note", manual=True, document_name="winter.txt"),
        )
        store.rename_document("data", "doc", "summer.txt")
        assert found(store, "winter") == set()
        assert found(store, "summer") == {"part 0", "part 1", "part 2"}
        assert {c.document_name for c in store.list_chunks("data", "doc", offset=0, limit=9).chunks} == {"summer.txt"}
        assert ask(store, "summer").documents == (("doc", "summer.txt"),)

    # -- deleting --------------------------------------------------------------------------------------------------

    def test_deleting_chunks_counts_those_that_existed(self, store: DocStore) -> None:
        chunks = [make(f"chunk {n}", token_count=n) for n in range(4)]
        put(store, *chunks)
        assert store.delete_chunks("data", "doc", [chunks[2].id, "missing", chunks[3].id, chunks[3].id]) == ChunkCount(
            2, 5
        )
        assert store.delete_chunks("data", "doc", [chunks[3].id]) == ChunkCount(0, 0)
        assert found(store, "chunk", unit(2)) == {"chunk 0", "chunk 1"}
        assert store.count("data") == ChunkCount(2, 1)

    def test_deleting_in_another_document_does_nothing(self, store: DocStore) -> None:
        chunk = make("mine")
        put(store, chunk, make("other", document="doc2"))
        assert store.delete_chunks("data", "doc2", [chunk.id]) == ChunkCount(0, 0)
        assert listed(store) == ["mine"]

    def test_deleting_a_document_keeps_newer_chunks_when_asked(self, store: DocStore) -> None:
        put(store, make("old", created_at=1.0), make("new", created_at=2.0), make("b", document="doc2"))
        assert store.delete_document("data", "doc", older_than=2.0).chunks == 1
        assert listed(store) == ["new"]
        assert store.delete_document("data", "doc").chunks == 1
        assert store.counts_by_document("data") == {"doc2": ChunkCount(1, 1)}

    def test_counts_by_dataset_and_document(self, store: DocStore) -> None:
        put(store, make("a", token_count=3), make("b", token_count=4), make("c", document="doc2", token_count=5))
        put(store, make("foreign", dataset="other"))
        assert store.dataset_ids() == {"data", "other"}
        assert store.counts_by_document("data") == {"doc": ChunkCount(2, 7), "doc2": ChunkCount(1, 5)}
        store.delete_document("other", "doc")
        store.delete_dataset("data")
        assert store.dataset_ids() == set()

    def test_available_chunks_of_a_document(self, store: DocStore) -> None:
        on, off = make("on"), make("off")
        put(store, on, off, make("elsewhere", document="doc2"), make("foreign", dataset="other"))
        store.set_available("data", "doc", False, [off.id])
        assert store.available_ids("data", "doc") == {on.id}
        store.delete_chunks("data", "doc", [on.id])
        assert store.available_ids("data", "doc") == set()

    def test_what_is_still_available(self, store: DocStore) -> None:
        on, off, gone, foreign = make("on"), make("off"), make("gone"), make("foreign", dataset="other")
        child = make("child", parent_id="p" * 16, parent_content="the whole")
        put(store, on, off, gone, child, foreign)
        store.set_available("data", "doc", False, [off.id])
        store.delete_chunks("data", "doc", [gone.id])
        asked = [on.id, off.id, gone.id, "p" * 16, foreign.id, "unknown"]
        assert store.still_available(["data"], asked) == {on.id, "p" * 16}
        store.set_available("data", "doc", False, [child.id])
        assert store.still_available(["data", "other"], asked) == {on.id, foreign.id}
        assert store.still_available(["data"], []) == set()

    def test_many_chunks_are_deleted_completely(self, store: DocStore) -> None:
        chunks = [make(f"chunk {n}", document=f"doc{n % 2}") for n in range(900)]
        store.upsert(chunks, np.repeat(unit(0)[None], 900, axis=0))
        assert store.delete_document("data", "doc0").chunks == 450
        assert store.count("data").chunks == 450
        assert store.delete_dataset("data") == 450
        assert store.count("data").chunks == 0
        assert len(ask(store, "chunk", unit(0))) == 0

    def test_a_deleted_dataset_can_be_filled_again(self, store: DocStore) -> None:
        put(store, make("before"))
        found(store, "before", unit(0))
        store.delete_dataset("data")
        put(store, make("after"))
        assert found(store, "before after", unit(0)) == {"after"}

    # -- counting --------------------------------------------------------------------------------------------------

    def test_counts_equal_a_recount_after_every_kind_of_change(self, store: DocStore) -> None:
        chunks = [make(f"chunk {n}", document=f"doc{n % 3}", token_count=n) for n in range(30)]
        put(store, *chunks)
        put(store, *chunks[:5])
        store.delete_chunks("data", "doc0", [chunk.id for chunk in chunks[:6]])
        store.delete_document("data", "doc1")
        left = [
            chunk
            for document in store.counts_by_document("data")
            for chunk in store.list_chunks("data", document, offset=0, limit=100).chunks
        ]
        assert store.count("data") == ChunkCount(len(left), sum(chunk.token_count for chunk in left))
        assert store.count("data", "doc0") == ChunkCount(8, sum(range(0, 30, 3)) - 3)

    # -- searching -------------------------------------------------------------------------------------------------

    def test_hybrid_search_is_the_union_of_both_sides_with_both_scores(self, store: DocStore) -> None:
        put(store, make("red apple"), make("green pear"), make("blue plum"))
        candidates = ask(store, "apple", unit(1), top_k=1)
        cosine = by_content(store, candidates, candidates.cosine)
        bm25 = by_content(store, candidates, candidates.bm25)
        term = by_content(store, candidates, candidates.term)
        assert set(cosine) == {"red apple", "green pear"}
        assert cosine["green pear"] == pytest.approx(1.0, abs=1e-5)
        assert cosine["red apple"] == pytest.approx(float(unit(0) @ unit(1)), abs=1e-5)
        assert bm25["red apple"] > 0 == bm25["green pear"]
        assert (term["red apple"], term["green pear"]) == (1.0, 0.0)

    def test_term_similarity_is_the_weighted_share_of_the_query_present(self, store: DocStore) -> None:
        put(store, *(make(f"common word {n}") for n in range(20)), make("common rare word"))
        candidates = ask(store, "common rare absent")
        term = by_content(store, candidates, candidates.term)
        weights = store.term_weights(["data"], "common rare absent")
        total = sum(weights.values())
        assert term["common rare word"] == pytest.approx((weights["common"] + weights["rare"]) / total)
        assert term["common word 1"] == pytest.approx(weights["common"] / total)
        assert weights["common"] < weights["rare"] < weights["absent"]

    def test_words_match_by_stem_and_whatever_their_case_width_or_accents(self, store: DocStore) -> None:
        put(store, make("The Cafés were RUNNING ｆｕｌｌ"))
        for question in ("runs", "cafe", "CAFÉS", "full", "ＦＵＬＬ"):
            assert len(ask(store, question)) == 1, question

    @pytest.mark.parametrize("question", ["防", "防守", "队的防守", "黒豹", "ス", "テスト", "ﾃｽﾄ", "한국", "국"])
    def test_text_without_spaces_is_found_by_characters_and_words(self, store: DocStore, question: str) -> None:
        put(store, make("黑豹队的防守只丢了308分。これは黒豹のテストです。한국어"))
        assert len(ask(store, question)) == 1

    def test_a_word_in_every_chunk_of_a_first_document_still_counts(self, store: DocStore) -> None:
        put(store, make("engine engine engine"), make("engine, and much more besides that"))
        candidates = ask(store, "engine")
        bm25 = by_content(store, candidates, candidates.bm25)
        assert bm25["engine engine engine"] > bm25["engine, and much more besides that"] > 0.01

    def test_a_question_of_stop_words_still_searches(self, store: DocStore) -> None:
        put(store, make("to be or not to be"), make("something else"))
        assert found(store, "to be or not to be") == {"to be or not to be"}
        assert found(store, "what is something") == {"something else"}

    def test_a_very_long_question_is_answered(self, store: DocStore) -> None:
        put(store, make("needle"))
        assert found(store, "needle " + " ".join(f"word{n}" for n in range(20_000))) == {"needle"}

    def test_restriction_to_documents(self, store: DocStore) -> None:
        put(store, *(make(f"same text {n}", document=f"doc{n}") for n in range(4)))
        assert found(store, "text", unit(0), document_ids=("doc1", "doc3", "unknown")) == {"same text 1", "same text 3"}
        assert found(store, "text", unit(0), document_ids=()) == set()
        assert found(store, "text", unit(0), document_ids=("unknown",)) == set()

    def test_documents_that_are_left_out(self, store: DocStore) -> None:
        put(store, *(make(f"same text {n}", document=f"doc{n}") for n in range(4)))
        excluded = ("doc1", "doc3", "unknown")
        assert found(store, "text", unit(0), excluded_document_ids=excluded) == {"same text 0", "same text 2"}
        both = found(store, "text", unit(0), document_ids=("doc0", "doc1"), excluded_document_ids=excluded)
        assert both == {"same text 0"}
        assert found(store, "", unit(0), excluded_document_ids=tuple(f"doc{n}" for n in range(4))) == set()

    def test_several_datasets_and_none(self, store: DocStore) -> None:
        for dataset in ("a", "b", "c"):
            put(store, make(f"text of {dataset}", dataset=dataset))
        candidates = ask(store, "text", unit(0), dataset_ids=("c", "missing", "a", "c"))
        assert by_content(store, candidates, candidates.dataset) == {"text of c": 0, "text of a": 2}
        assert found(store, "text", unit(0), dataset_ids=()) == set()

    def test_documents_of_the_same_id_in_two_datasets_are_told_apart(self, store: DocStore) -> None:
        put(store, make("one", dataset="a", document_name="a.txt"), make("two", dataset="b", document_name="b.txt"))
        candidates = ask(store, "one two", dataset_ids=("a", "b"))
        names = {candidates.documents[index] for index in candidates.document}
        assert names == {("doc", "a.txt"), ("doc", "b.txt")}

    def test_children_of_one_parent_share_a_number(self, store: DocStore) -> None:
        put(
            store,
            make("child one", parent_id="p" * 16, parent_content="child one child two"),
            make("child two", parent_id="p" * 16, parent_content="child one child two"),
            make("child other", parent_id="q" * 16, parent_content="child other"),
            make("child of none"),
        )
        candidates = ask(store, "child")
        parent = by_content(store, candidates, candidates.parent)
        assert parent["child one"] == parent["child two"] != parent["child other"]
        assert parent["child of none"] == 0 < min(parent["child one"], parent["child other"])

    def test_limits_keep_the_best_of_each_side(self, store: DocStore) -> None:
        put(store, *(make(f"{'plum ' * n}{'filler ' * (9 - n)}") for n in range(1, 9)))
        candidates = ask(store, "plum", unit(3), text_limit=2, top_k=1)
        assert len(candidates) == 3
        assert found(store, "plum", text_limit=1) == {f"{'plum ' * 8}filler "}

    def test_a_vector_of_another_length_is_refused(self, store: DocStore) -> None:
        put(store, make("text"))
        with pytest.raises(DimensionMismatch):
            ask(store, "text", unit(0, DIMENSION + 1))

    def test_search_sees_every_change_at_once(self, store: DocStore) -> None:
        put(store, make("one apple", order=0))
        assert found(store, "", unit(0)) == {"one apple"}
        put(store, make("two apple", order=1))
        assert found(store, "", unit(0)) == found(store, "apple") == {"one apple", "two apple"}
        store.set_available("data", "doc", False, [make("two apple").id])
        assert found(store, "", unit(0)) == found(store, "apple") == {"one apple"}
        store.delete_chunks("data", "doc", [make("one apple").id])
        assert found(store, "", unit(0)) == found(store, "apple") == set()

    def test_loading_a_chunk_deleted_since_the_search_gives_none(self, store: DocStore) -> None:
        put(store, make("gone"), make("stays"))
        candidates = ask(store, "gone stays")
        store.delete_chunks("data", "doc", [make("gone").id])
        chunks = store.load(list(candidates.handles))
        assert sorted(chunk.content if chunk else "" for chunk in chunks) == ["", "stays"]

    # -- vectors ---------------------------------------------------------------------------------------------------

    def test_vectors_come_back_exactly(self, store: DocStore) -> None:
        one, two = make("one"), make("two")
        put(store, one, two)
        vectors = store.vectors(["data"], [one.id, two.id, "missing"])
        assert set(vectors) == {one.id, two.id}
        np.testing.assert_allclose(vectors[two.id], unit(1), atol=1e-6)
        assert store.vectors(["elsewhere"], [one.id]) == {}

    def test_a_parent_has_the_mean_vector_of_its_children(self, store: DocStore) -> None:
        put(store, make("a", parent_id="p", parent_content="ab"), make("b", parent_id="p", parent_content="ab"))
        mean = unit(0) + unit(1)
        np.testing.assert_allclose(store.vectors(["data"], ["p"])["p"], mean / np.linalg.norm(mean), atol=1e-6)

    def test_a_zero_vector_is_stored_and_similar_to_nothing(self, store: DocStore) -> None:
        store.upsert([make("?!")], np.zeros((1, DIMENSION), np.float32))
        assert ask(store, "", unit(0)).cosine.tolist() == [0.0]

    def test_ping_names_the_backend_and_close_can_be_undone(self, store: DocStore) -> None:
        assert store.ping()
        put(store, make("text"))
        store.close()
        assert found(store, "text", unit(0)) == {"text"}

    # -- vector spaces ---------------------------------------------------------------------------------------------

    def test_vectors_of_another_space_lie_beside(self, store: DocStore) -> None:
        put(store, make("one"), make("two", document="doc2"), make("elsewhere", dataset="other"))
        assert fill(store, 1, dimension=4) == {"one", "two"}
        for space, dimension in ((0, DIMENSION), (1, 4)):
            vector = unit(1, dimension)
            candidates = ask(store, "", vector, spaces={"data": space})
            assert by_content(store, candidates, candidates.cosine)["two"] == pytest.approx(1.0, abs=1e-5)
            with pytest.raises(DimensionMismatch):
                ask(store, "", unit(0, 12 - dimension), spaces={"data": space})
        assert len(store.vectors(["data"], [make("one").id], spaces={"data": 1})[make("one").id]) == 4
        assert len(store.vectors(["data"], [make("one").id])[make("one").id]) == DIMENSION

    def test_spaces_of_equal_dimension_are_not_mixed(self, store: DocStore) -> None:
        put(store, make("one"), make("two"))
        for space in (1, 2, 3):
            fill(store, space, seed=10 * space)
            for other in (space - 1, space):
                candidates = ask(store, "one", unit(10 * other), spaces={"data": other})
                cosines = by_content(store, candidates, candidates.cosine)
                assert cosines["one"] == pytest.approx(1.0, abs=1e-5)
                assert cosines["two"] == pytest.approx(float(unit(10 * other) @ unit(10 * other + 1)), abs=1e-5)
            store.drop_space("data", space - 1)

    def test_datasets_in_different_spaces_are_searched_together(self, store: DocStore) -> None:
        datasets = ("data", "other", "third")
        for dataset in datasets:
            put(store, make(f"text of {dataset}", dataset=dataset))
        fill(store, 1, seed=5)
        fill(store, 2, seed=5, dataset="third")
        spaces = {"data": 1, "third": 2}
        for top_k in (1, 10):
            candidates = ask(store, "text", unit(5), dataset_ids=datasets, spaces=spaces, top_k=top_k)
            cosines = by_content(store, candidates, candidates.cosine)
            assert cosines == pytest.approx(
                {"text of data": 1.0, "text of third": 1.0, "text of other": float(unit(0) @ unit(5))}, abs=1e-5
            )
        both = store.vectors(datasets, [make("text of third", dataset="third").id], spaces=spaces)
        np.testing.assert_allclose(next(iter(both.values())), unit(5), atol=1e-6)

    def test_a_chunk_has_no_vector_in_a_space_until_it_is_added(self, store: DocStore) -> None:
        put(store, *(make(f"text {n}") for n in range(3)))
        assert store.count_lacking("data", 1) == 3
        first = next(store.lacking("data", 1))
        assert store.add_vectors("data", 1, [first], units(1)) == 1
        assert store.count_lacking("data", 1) == 2
        assert {item.chunk.content for item in store.lacking("data", 1)} == {"text 0", "text 1", "text 2"} - {
            first.chunk.content
        }
        with pytest.raises(VectorsMissing):
            ask(store, "text", unit(0), spaces={"data": 1})
        assert len(found(store, "text", spaces={"data": 1})) == 3  # as text alone
        assert len(found(store, "text", unit(0))) == 3
        fill(store, 1)
        assert store.count_lacking("data", 1) == 0
        assert len(found(store, "text", unit(0), spaces={"data": 1})) == 3

    def test_what_is_written_meanwhile_lacks_a_vector(self, store: DocStore) -> None:
        put(store, make("kept"), make("changed"), make("gone"), make("switched"))
        fill(store, 1)
        put(store, make("changed", keywords=("new",)), make("new"))
        store.delete_chunks("data", "doc", [make("gone").id])
        store.set_available("data", "doc", False, [make("switched").id])
        assert fill(store, 1) == {"changed", "new"}
        assert found(store, "kept changed new", unit(0), spaces={"data": 1}) == {"kept", "changed", "new"}

    def test_a_vector_of_what_a_chunk_was_before_is_not_written(self, store: DocStore) -> None:
        put(store, make("changed"), make("gone"), make("kept"))
        read = list(store.lacking("data", 1))
        put(store, make("changed", keywords=("new",)))
        store.delete_chunks("data", "doc", [make("gone").id])
        assert store.add_vectors("data", 1, read, units(3)) == 1
        assert fill(store, 1) == {"changed"}
        assert store.count("data").chunks == 2

    def test_chunks_written_into_another_space_have_a_vector_only_there(self, store: DocStore) -> None:
        put(store, make("old"), make("replaced"))
        fill(store, 1, dimension=4)
        store.upsert([make("replaced"), make("new")], units(2, 4), space=1)
        assert found(store, "", unit(0, 4), spaces={"data": 1}) == {"old", "replaced", "new"}
        with pytest.raises(VectorsMissing):
            ask(store, "", unit(0))
        with pytest.raises(DimensionMismatch):
            store.upsert([make("other")], units(1, 5), space=1)
        store.upsert([make("first", dataset="fresh")], units(1, 4), space=3)
        assert found(store, "", unit(0, 4), dataset_ids=("fresh",), spaces={"fresh": 3}) == {"first"}

    def test_a_space_that_was_searched_before_its_first_chunk(self, store: DocStore) -> None:
        store.upsert([make("old")], units(1), space=1)
        store.delete_chunks("data", "doc", [make("old").id])
        assert found(store, "", unit(0), spaces={"data": 2}) == set()
        store.upsert([make("new")], units(1), space=2)
        assert found(store, "", unit(0), spaces={"data": 2}) == {"new"}

    def test_a_dropped_space_is_gone_and_the_others_stay(self, store: DocStore) -> None:
        put(store, *(make(f"text {n}") for n in range(450)))
        ask(store, "", unit(0))
        fill(store, 1, dimension=4)
        assert store.count_lacking("data", 0) == 0
        store.drop_space("data", 0)
        assert store.count_lacking("data", 0) == sum(1 for _ in store.lacking("data", 0)) == 450
        with pytest.raises(VectorsMissing):
            ask(store, "", unit(0))
        assert store.vectors(["data"], [make("text 1").id]) == {}
        assert len(found(store, "", unit(0, 4), spaces={"data": 1})) == 450
        fill(store, 2, dimension=6)
        store.drop_space("data", 1)
        store.drop_space("data", 1)
        store.drop_space("nowhere", 1)
        with pytest.raises(VectorsMissing):
            ask(store, "", unit(0, 4), spaces={"data": 1})
        assert len(found(store, "", unit(0, 6), spaces={"data": 2})) == 450
        assert store.count("data").chunks == 450

    def test_vectors_that_do_not_fit_are_not_added(self, store: DocStore) -> None:
        put(store, make("one"), make("two"))
        one, two = store.lacking("data", 1)
        store.add_vectors("data", 1, [one], units(1, 4))
        with pytest.raises(DimensionMismatch):
            store.add_vectors("data", 1, [two], units(1, 5))
        with pytest.raises(StoreError):
            store.add_vectors("data", 1, [two], np.full((1, 4), np.nan, np.float32))
        with pytest.raises(StoreError):
            store.add_vectors("data", 1, [two], units(2, 4))
        assert store.add_vectors("data", 1, [], units(1, 4)[:0]) == 0
        assert store.count_lacking("data", 1) == 1
        assert list(store.lacking("nowhere", 1)) == []
        assert store.count_lacking("nowhere", 1) == store.add_vectors("nowhere", 1, [two], units(1)) == 0
