"""The Elasticsearch store: conformance on a real server, and failures on the way to it against a scripted one."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ragflow.engine.docstore import elastic, elastic_search, elastic_server
from ragflow.engine.docstore.base import ChunkCount
from ragflow.engine.docstore.elastic import ElasticDocStore
from ragflow.engine.docstore.elastic_index import VERSION
from ragflow.engine.errors import StoreError, StoreUnavailable
from tests.tools.elasticsearch_index import remove_index, with_own_index
from tests.unit.docstore.conformance import (
    DocStoreConformance,
    ask,
    by_content,
    found,
    listed,
    make,
    put,
    unit,
    units,
)

SERVER = os.environ.get("ELASTICSEARCH_URL", "")
needs_server = pytest.mark.skipif(not SERVER, reason="needs a server: ELASTICSEARCH_URL is not set")


@pytest.fixture
def url() -> Iterator[str]:
    """The server, with an index that only this test uses."""
    url = with_own_index(SERVER)
    yield url
    remove_index(url)


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
def store(request: pytest.FixtureRequest, url: str) -> Iterator[ElasticDocStore]:
    store = ElasticDocStore(url)
    name, indices = store._index.name, store._server.client.indices
    settings = {"number_of_shards": request.param}
    indices.put_index_template(name=name, index_patterns=[f"{name}-*"], template={"settings": settings})
    yield store
    store._server.client.indices.delete_index_template(name=name)
    store.close()


def index_of(store: ElasticDocStore) -> str:
    return f"{store._index.name}-{VERSION}"


@needs_server
class TestConformance(DocStoreConformance):
    pass


@needs_server
class TestServer:
    def test_a_change_keeps_the_vector_and_the_text(self, store: ElasticDocStore) -> None:
        put(store, make("apple"), make("pear"))
        store.rename_document("data", "doc", "orchard.txt")
        store.set_available("data", "doc", True)
        candidates = ask(store, "orchard", unit(1))
        assert by_content(store, candidates, candidates.cosine)["pear"] == pytest.approx(1.0, abs=1e-5)
        assert found(store, "apple") == {"apple"}

    def test_vectors_found_alone_have_their_text_score_when_text_hits_were_cut(self, store: ElasticDocStore) -> None:
        put(store, *(make(f"{'plum ' * n}{'filler ' * (9 - n)}") for n in range(1, 9)))
        candidates = ask(store, "plum", unit(0), text_limit=2, top_k=1)
        weakest = f"plum {'filler ' * 8}"
        assert by_content(store, candidates, candidates.bm25)[weakest] > 0
        assert by_content(store, candidates, candidates.term)[weakest] == 1.0

    def test_pages_beyond_the_window_of_the_server(self, store: ElasticDocStore, monkeypatch: Any) -> None:
        for module in (elastic, elastic_search):
            monkeypatch.setattr(module, "WINDOW", 4)
            monkeypatch.setattr(module, "SCAN", 3)
        put(store, *(make(f"item {n}", order=n) for n in range(12)))
        for offset in range(14):
            assert listed(store, offset=offset, limit=5) == [f"item {n}" for n in range(offset, min(offset + 5, 12))]
        assert len(listed(store, offset=1, limit=100, text="item")) == 11
        assert store.delete_document("data", "doc") == ChunkCount(12, 12)

    def test_more_ids_than_one_clause_takes(self, store: ElasticDocStore) -> None:
        put(store, make("one", document="wanted"), make("two", document="other"))
        many = tuple(f"{n:032x}" for n in range(70_000))
        assert found(store, "one two", document_ids=(*many, "wanted")) == {"one"}

    def test_a_refused_chunk_takes_the_whole_call_back(self, store: ElasticDocStore) -> None:
        put(store, make("before"))
        too_long = make("clash", document_name="n" * 40_000)
        with pytest.raises(StoreError, match="refused"):
            put(store, make("new"), too_long, make("newer"))
        assert listed(store) == ["before"]

    def test_vectors_that_do_not_fit_are_refused(self, store: ElasticDocStore) -> None:
        with pytest.raises(StoreError, match="4096"):
            store.upsert([make("text")], units(1, 5000))

    def test_a_full_disk_is_told(self, store: ElasticDocStore, monkeypatch: Any) -> None:
        monkeypatch.setattr(elastic, "REJECTED_RETRIES", 0)  # the server, whose disk has room, soon lifts the block
        put(store, make("kept"))
        indices = store._server.client.indices
        indices.put_settings(index=index_of(store), settings={"index.blocks.read_only_allow_delete": True})
        with pytest.raises(StoreError, match="read-only"):
            put(store, make("more"))
        assert found(store, "kept") == {"kept"}
        indices.put_settings(index=index_of(store), settings={"index.blocks.read_only_allow_delete": None})

    def test_an_index_that_was_deleted_is_told_and_made_anew(self, store: ElasticDocStore) -> None:
        put(store, make("gone"))
        store._server.client.indices.delete(index=index_of(store))
        with pytest.raises(StoreError, match="gone from Elasticsearch"):
            put(store, make("new"))
        put(store, make("new"))
        assert listed(store) == ["new"]

    def test_an_index_that_vanishes_in_the_middle_of_a_write_loses_nothing_silently(
        self, store: ElasticDocStore, monkeypatch: Any
    ) -> None:
        put(store, make("gone"))
        indices = store._server.client.indices
        with monkeypatch.context() as patch:
            patch.setattr(store, "_make_room", lambda *_: indices.delete(index=index_of(store)))
            with pytest.raises(StoreError, match="gone from Elasticsearch"):
                put(store, make("new"))
        put(store, make("new"))
        assert listed(store) == ["new"]

    def test_stores_of_other_processes_see_each_other(self, store: ElasticDocStore, url: str) -> None:
        other = ElasticDocStore(url)
        assert len(ask(other, "text", unit(0))) == 0
        put(store, make("text"))
        assert found(other, "text", unit(0)) == {"text"}
        other.close()

    def test_many_threads_write_and_delete_at_once(self, store: ElasticDocStore) -> None:
        chunks = [make(f"chunk {n}") for n in range(24)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda chunk: store.upsert([chunk], unit(0)[None]), chunks))
            assert store.count("data").chunks == 24
            deleted = list(pool.map(lambda chunk: store.delete_chunks("data", "doc", [chunk.id]), chunks * 2))
        assert sum(count.chunks for count in deleted) == 24
        assert store.count("data").chunks == 0

    def test_a_forked_child_has_connections_of_its_own(self, store: ElasticDocStore) -> None:
        put(store, make("text"))
        client = store._server.client
        store._server._owner -= 1  # as in a child
        assert found(store, "text") == {"text"}
        assert store._server.client is not client


class TestFailures:
    @pytest.fixture
    def script(self) -> Iterator[Script]:
        script = Script()
        yield script
        script.close()

    def complaint(self, url: str) -> str:
        store = ElasticDocStore(url)
        with pytest.raises(StoreError) as caught:
            store.ping()
        store.close()
        return str(caught.value)

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (401, {"error": {"type": "security_exception", "reason": "hunter2"}, "status": 401}, "does not accept"),
            (403, {"error": {"type": "security_exception", "reason": "no"}, "status": 403}, "may not do this"),
            (403, {"error": {"type": "cluster_block_exception", "reason": "blocked"}}, "nearly full"),
            (429, {"error": {"type": "circuit_breaking_exception", "reason": "x"}}, "more work than it can take"),
            (503, "not json at all", "not available"),
            (503, {"error": {"type": "cluster_block_exception", "reason": "state not recovered"}}, "not available"),
            (400, {"error": {"type": "odd", "reason": "the odd reason"}}, "the odd reason"),
        ],
    )
    def test_refusals_come_as_sentences(self, script: Script, status: int, body: object, sentence: str) -> None:
        script.answer = (status, body)
        complaint = self.complaint(script.url)
        assert sentence in complaint
        assert "hunter2" not in complaint

    @pytest.mark.parametrize(
        ("status", "kind", "passing"),
        [
            (429, "es_rejected_execution_exception", True),
            (429, "circuit_breaking_exception", True),
            (503, "search_phase_execution_exception", True),
            (503, "cluster_block_exception", True),  # while it starts
            (429, "cluster_block_exception", False),
            (404, "index_not_found_exception", False),
            (400, "odd", False),
        ],
    )
    def test_only_what_passes_is_worth_another_try(self, script: Script, status: int, kind: str, passing: bool) -> None:
        script.answer = (status, {"error": {"type": kind, "reason": "x"}})
        with pytest.raises(StoreError) as caught:
            ElasticDocStore(script.url).ping()
        assert isinstance(caught.value, StoreUnavailable) == passing

    def test_a_server_that_is_away(self, script: Script) -> None:
        script.close()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            ElasticDocStore(script.url).ping()

    def test_a_server_that_does_not_answer(self, script: Script, monkeypatch: Any) -> None:
        monkeypatch.setattr(elastic_server, "TIMEOUT", 0.2)
        script.hang = True
        assert "did not answer" in self.complaint(script.url)

    def test_another_product(self, script: Script) -> None:
        script.product = "Nginx"
        assert "is not Elasticsearch" in self.complaint(script.url)

    def test_user_and_password_are_sent_and_never_told(self, script: Script) -> None:
        script.answer = (401, {"error": {"type": "security_exception", "reason": "unable to authenticate"}})
        complaint = self.complaint(script.url.replace("//", "//elastic:p%40ss@"))
        assert script.headers[-1]["Authorization"] == "Basic ZWxhc3RpYzpwQHNz"
        assert "p@ss" not in complaint
        assert "elastic:" not in complaint

    def test_an_api_key_takes_the_place_of_the_password(self, script: Script) -> None:
        script.answer = (401, {})
        self.complaint(f"{script.url}?api_key=abc123")
        assert script.headers[-1]["Authorization"] == "ApiKey abc123"

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost:9200",
            "ftp://u:secret@host:9200",
            "http://u:secret@host:port",
            "http://",
            "http://h?indx=secret",
        ],
    )
    def test_odd_urls_are_refused_without_being_repeated(self, url: str) -> None:
        with pytest.raises(StoreError, match="ELASTICSEARCH_URL") as caught:
            ElasticDocStore(url)
        assert "secret" not in str(caught.value)

    def test_a_missing_certificate_file_is_told(self) -> None:
        store = ElasticDocStore("https://localhost:1?ca_certs=/missing.pem")
        with pytest.raises(StoreError, match="ca_certs"):
            store.ping()


class Script:
    """A loopback server that gives every request the same answer."""

    def __init__(self) -> None:
        script = self
        self.answer: tuple[int, object] = (200, {})
        self.product = "Elasticsearch"
        self.hang = False
        self.headers: list[Message] = []
        self.released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                script.headers.append(self.headers)
                if script.hang:
                    script.released.wait(5)
                    return
                status, body = script.answer
                payload = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("X-Elastic-Product", script.product)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - so http.server names them

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
