"""The embedded store: conformance, and what only it can get wrong."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragflow.engine.docstore import embedded, embedded_cache, embedded_file, embedded_search
from ragflow.engine.docstore.base import SearchRequest
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.docstore.embedded_file import FIRST_SCHEMA
from ragflow.engine.docstore.embedded_spaces import find_dataset
from ragflow.engine.errors import StoreError, VectorsMissing
from tests.unit.docstore.conformance import DocStoreConformance, ask, by_content, fill, found, make, put, unit, units


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "chunks.db"


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedDocStore]:
    store = EmbeddedDocStore(path)
    yield store
    store.close()


class TestConformance(DocStoreConformance):
    pass


def assert_sound(path: Path) -> None:
    """Check the file, the text index against its content, and that every chunk has its vector."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("INSERT INTO text (text, rank) VALUES ('integrity-check', 1)")
        chunks, vectors = (connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("chunk", "vector"))
        stated, by_dataset = connection.execute(
            "SELECT chunks, (SELECT total(chunks) FROM dataset) FROM state"
        ).fetchone()
        assert chunks == vectors == stated == by_dataset
    finally:
        connection.close()


class TestIndex:
    def test_text_index_and_counters_stay_sound_through_every_change(self, store: EmbeddedDocStore, path: Path) -> None:
        chunks = [make(f"chunk number {n}", document=f"doc{n % 4}") for n in range(500)]
        put(store, *chunks)
        put(store, *(make(f"chunk number {n}", document=f"doc{n % 4}", keywords=("new",)) for n in range(0, 500, 3)))
        store.rename_document("data", "doc1", "another.txt")
        store.set_available("data", "doc2", False)
        store.delete_chunks("data", "doc0", [chunk.id for chunk in chunks[::8]])
        store.delete_document("data", "doc3")
        assert_sound(path)
        store.delete_dataset("data")
        assert_sound(path)

    def test_a_bulk_deletion_rests_between_slices_and_lets_others_write(
        self, store: EmbeddedDocStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, *(make(f"chunk {n}", document=f"doc{n % 2}") for n in range(900)))
        rests: list[float] = []

        def rest(seconds: float) -> None:
            rests.append(seconds)
            other = EmbeddedDocStore(path)
            put(other, make(f"written meanwhile {len(rests)}", dataset="other"))
            other.close()

        monkeypatch.setattr(embedded.time, "sleep", rest)
        store.delete_document("data", "doc0")
        assert len(rests) == 2  # 450 chunks
        store.delete_dataset("data")
        assert len(rests) == 4
        assert min(rests) > 0
        store.delete_dataset("other")
        assert len(rests) == 4  # few chunks: at once

    def test_bm25_equals_the_textbook_formula(self, store: EmbeddedDocStore) -> None:
        texts = ["plum plum apple", "plum", "pear apple pear pear pear", "apple"]
        put(store, *(make(text, manual=True) for text in texts))
        candidates = ask(store, "plum apple")
        lengths = {text: len(text.split()) for text in texts}
        mean = sum(lengths.values()) / len(texts)

        def score(text: str) -> float:
            total = 0.0
            for term in ("plum", "apple"):
                holding = sum(term in other for other in texts)
                idf = np.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
                count = text.split().count(term)
                total += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * lengths[text] / mean))
            return total

        expected = {text: score(text) for text in texts}
        assert by_content(store, candidates, candidates.bm25) == pytest.approx(expected, rel=1e-4)

    def test_common_words_refine_without_finding_when_a_question_would_cost_too_much(
        self, store: EmbeddedDocStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, *(make(f"common filler {n}") for n in range(20)), *(make(f"common rare {n}") for n in range(5)))
        exact = ask(store, "common rare")
        monkeypatch.setattr(embedded_search, "POSTINGS_BUDGET", 10)
        monkeypatch.setattr(embedded_search, "SMALL_FILTER", 3)
        pruned = ask(store, "common rare")
        scores = by_content(store, exact, exact.bm25)
        assert by_content(store, pruned, pruned.bm25) == {
            text: score for text, score in scores.items() if "rare" in text
        }
        assert pruned.term.tolist() == [1.0] * 5
        assert len(ask(store, "common")) == 25  # a question of one word always finds its chunks


class TestMemory:
    def test_results_do_not_depend_on_the_size_of_the_cache(self, path: Path) -> None:
        tiny = EmbeddedDocStore(path, cache_bytes=1)
        for dataset in ("a", "b", "c"):
            put(tiny, make(f"text of {dataset}", dataset=dataset))
        for dataset in ("a", "b", "c", "a"):
            assert found(tiny, "", unit(0), dataset_ids=(dataset,)) == {f"text of {dataset}"}
        tiny.close()

    def test_growth_in_small_steps_keeps_every_vector(self, store: EmbeddedDocStore) -> None:
        for n in range(150):
            store.upsert([make(f"chunk {n}")], unit(n)[None])
            assert ask(store, "", unit(n), top_k=1).cosine[0] == pytest.approx(1.0, abs=1e-5)

    def test_vectors_in_memory_follow_rewrites_deletions_and_additions(self, store: EmbeddedDocStore) -> None:
        rng = np.random.default_rng(3)
        truth: dict[str, int] = {}
        for step in range(60):
            name, seed = f"chunk {rng.integers(12)}", 1000 + step
            if name in truth and rng.random() < 0.4:
                store.delete_chunks("data", "doc", [make(name).id])
                del truth[name]
            else:
                store.upsert([make(name, available=bool(rng.random() < 0.9))], unit(seed)[None])
                truth[name] = seed
            candidates = ask(store, "", unit(1), only_available=False)
            expected = {name: float(unit(seed) @ unit(1)) for name, seed in truth.items()}
            assert by_content(store, candidates, candidates.cosine) == pytest.approx(expected, abs=1e-5)

    def test_a_search_that_began_before_a_change_does_not_see_it(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("first"))
        with store._file.read() as snapshot:
            snapshot.execute("SELECT count(*) FROM chunk").fetchone()
            other = threading.Thread(target=lambda: (put(store, make("second")), found(store, "", unit(0))))
            other.start()
            other.join()
            row = find_dataset(snapshot, "data")
            assert row is not None
            assert len(store._cache.columns(snapshot, row)) == 1
        assert found(store, "", unit(0)) == {"first", "second"}

    def test_a_search_over_an_older_snapshot_leaves_the_counts_of_newer_ones_alone(
        self, store: EmbeddedDocStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, make("first"))
        assert found(store, "second") == set()

        class Interrupting(int):
            """The limit; the first who compares with it is overtaken by a thread that writes and searches."""

            def __lt__(self, size: int) -> bool:
                monkeypatch.undo()
                other = threading.Thread(target=lambda: (put(store, make("second")), found(store, "first")))
                other.start()
                other.join()
                return False

        monkeypatch.setattr(embedded_search.TermStatistics, "LIMIT", Interrupting())
        assert found(store, "second") == set()
        assert found(store, "second") == {"second"}

    def test_many_threads_read_while_others_write(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("seed text"))

        def work(worker: int) -> int:
            for n in range(15):
                chunk = make(f"text {worker} {n}", document=f"doc{worker}")
                put(store, chunk)
                assert chunk.content in found(store, f"{worker} {n}", unit(0), document_ids=(f"doc{worker}",))
                if n % 3 == 0:
                    store.delete_chunks("data", f"doc{worker}", [chunk.id])
                    assert chunk.content not in found(store, "text", unit(0))
            return worker

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(work, range(6))) == list(range(6))
        assert store.count("data").chunks == 61
        assert_sound(path)

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_forked_child_has_connections_of_its_own(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("before the fork"))
        assert found(store, "fork", unit(0)) == {"before the fork"}
        child = os.fork()
        if child == 0:
            try:
                put(store, make("from the fork"))
                os._exit(0 if found(store, "fork", unit(0)) == {"before the fork", "from the fork"} else 1)
            except BaseException:  # noqa: BLE001 - the child must not run on as a second pytest
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert found(store, "fork", unit(0)) == {"before the fork", "from the fork"}
        assert_sound(path)


class TestErrors:
    def test_a_damaged_file_is_named_as_such(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"this is not a database, whatever its name says" * 100)
        with pytest.raises(StoreError, match="not a database"):
            EmbeddedDocStore(path).ping()

    def test_a_full_disk_loses_only_the_write_that_did_not_fit(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("kept"))
        with store._file.read() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
        store._file._connection().execute(f"PRAGMA max_page_count = {pages}").fetchall()
        with pytest.raises(StoreError, match="full"):
            store.upsert([make("x " * 2000 + str(n)) for n in range(50)], np.repeat(unit(0)[None], 50, axis=0))
        store._file._connection().execute("PRAGMA max_page_count = 1000000").fetchall()
        assert store.count("data").chunks == 1
        put(store, make("next"))
        assert_sound(path)

    def test_a_lock_held_too_long_is_named_as_such(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("kept"))
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        store._file._connection().execute("PRAGMA busy_timeout = 10").fetchall()
        with pytest.raises(StoreError, match="locked"):
            put(store, make("waits"))
        assert found(store, "kept") == {"kept"}  # readers do not wait
        holder.execute("ROLLBACK")
        holder.close()

    def test_a_file_that_was_deleted_while_it_was_open_begins_anew(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("old"))
        assert found(store, "old") == {"old"}
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        assert found(store, "old") == set()
        store.upsert([make("new")], unit(1)[None])  # it gets the number of the old one, whose vector was in memory
        for reader in (store, EmbeddedDocStore(path)):
            answer = ask(reader, vector=unit(1))
            assert by_content(reader, answer, answer.cosine) == {"new": pytest.approx(1)}
        assert_sound(path)

    def test_a_file_that_was_emptied_while_it_was_open_is_told(
        self, store: EmbeddedDocStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded_file, "EMPTY_TIMEOUT", 0)
        put(store, make("kept"))
        os.truncate(path, 0)
        with pytest.raises(StoreError, match="was emptied while it was in use"):
            EmbeddedDocStore(path).ping()

    def test_a_file_of_a_newer_program_is_left_alone(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, make("kept"))
        store.close()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(StoreError, match="newer version"):
            EmbeddedDocStore(path).ping()

    def test_a_log_that_cannot_be_shortened_fails_no_write(
        self, store: EmbeddedDocStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded_file, "WAL_LIMIT", -1)
        put(store, make("kept"))
        closed = sqlite3.connect(":memory:")
        closed.close()
        store._file._fold_wal(closed)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="folder"):
            EmbeddedDocStore(tmp_path / "file" / "chunks.db").ping()

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_vectors_that_are_not_numbers_are_refused(self, store: EmbeddedDocStore, bad: float) -> None:
        vectors = units(2)
        vectors[1, 0] = bad
        with pytest.raises(StoreError, match="finite"):
            store.upsert([make("a"), make("b")], vectors)
        assert store.count("data").chunks == 0

    def test_a_missing_vector_is_refused(self, store: EmbeddedDocStore) -> None:
        with pytest.raises(StoreError, match="2 chunks came with 1 vectors"):
            store.upsert([make("a"), make("b")], units(1))


def test_the_log_does_not_grow_without_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragflow.engine.docstore.embedded_file.WAL_LIMIT", 200_000)
    store = EmbeddedDocStore(path)
    for n in range(20):
        put(store, make(f"{n} " + "words and more words " * 2000))
    assert path.with_name("chunks.db-wal").stat().st_size < 1_000_000
    assert len(store.search(SearchRequest(("data",), "words", None))) == 20
    store.close()


class TestSpaces:
    def test_a_file_of_the_first_version_is_brought_up_to_date(self, path: Path) -> None:
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.executescript(FIRST_SCHEMA)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO dataset (id, dimension) VALUES ('data', 8)")
        connection.commit()
        connection.close()
        stores = [EmbeddedDocStore(path) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda store: put(store, make("apple")), stores))
        assert fill(stores[0], 1, dimension=4) == {"apple"}
        assert found(stores[1], "", unit(0, 4), spaces={"data": 1}) == {"apple"}
        for store in stores:
            store.close()
        assert_sound(path)

    def test_a_file_of_a_newer_version_is_refused(self, path: Path) -> None:
        EmbeddedDocStore(path).ping()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(StoreError, match="newer version"):
            EmbeddedDocStore(path).ping()

    def test_another_process_sees_each_change_of_a_space(self, store: EmbeddedDocStore, path: Path) -> None:
        """What is in memory follows what others write into each space, in whatever order they are asked for."""
        other = EmbeddedDocStore(path)
        put(store, make("one"), make("two"))

        def cosines(space: int) -> dict[str, float]:
            candidates = ask(other, "", unit(0), spaces={"data": space})
            return by_content(other, candidates, candidates.cosine)

        assert cosines(0)["one"] == pytest.approx(1, abs=1e-5)
        fill(store, 1, seed=5)
        assert cosines(1)["one"] == pytest.approx(float(unit(0) @ unit(5)), abs=1e-5)
        store.upsert([make("one"), make("three")], units(2), space=1)
        assert cosines(1) == pytest.approx(
            {"one": 1, "two": float(unit(0) @ unit(6)), "three": unit(0) @ unit(1)}, abs=1e-5
        )
        with pytest.raises(VectorsMissing):
            cosines(0)
        fill(store, 2)
        assert cosines(2)["one"] == pytest.approx(1, abs=1e-5)
        store.drop_space("data", 1)
        for space in (0, 1):
            with pytest.raises(VectorsMissing):
                cosines(space)
        assert set(cosines(2)) == {"one", "two", "three"}
        other.close()

    def test_filling_a_space_leaves_what_is_in_memory_alone(self, store: EmbeddedDocStore, monkeypatch: Any) -> None:
        put(store, *(make(f"text {n}") for n in range(50)))
        ask(store, "", unit(0))
        fill(store, 1, dimension=4)
        monkeypatch.setattr(embedded_cache, "_read", lambda *args, **options: pytest.fail("It was read again."))
        ask(store, "", unit(0))

    def test_spaces_leave_nothing_behind(self, store: EmbeddedDocStore, path: Path) -> None:
        put(store, *(make(f"text {n}", document=f"doc{n % 3}") for n in range(300)))
        fill(store, 1, dimension=4)
        store.delete_document("data", "doc1")
        store.delete_chunks("data", "doc0", [make(f"text {n}", document="doc0").id for n in range(0, 30, 3)])
        assert rows_of(path, "space_vector") == store.count("data").chunks
        fill(store, 2, dimension=4)
        store.drop_space("data", 1)
        assert rows_of(path, "space_vector") == store.count("data").chunks
        store.delete_dataset("data")
        assert rows_of(path, "space_vector") == rows_of(path, "space") == 0
        assert_sound(path)


def rows_of(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)
