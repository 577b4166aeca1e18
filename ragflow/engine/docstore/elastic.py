"""The document store on an Elasticsearch server (8.15 or newer, or 9): all datasets in one index.

The meaning of every method is in FILTERS.md; the mapping is in elastic_index.py, queries and ranking in
elastic_search.py, the connection and its errors in elastic_server.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from itertools import islice
from typing import Any

import numpy as np
from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError
from elasticsearch.dsl.query import Bool, Query, Range, Term
from elasticsearch.helpers import streaming_bulk

from ragflow.engine.docstore.analysis import clean, name_terms, query_terms
from ragflow.engine.docstore.base import (
    FIRST_SPACE,
    Candidates,
    ChunkCount,
    ChunkPage,
    SearchRequest,
    Versioned,
    checked,
)
from ragflow.engine.docstore.elastic_filters import (
    MAX_TERMS_PER_CLAUSE,
    Body,
    any_of,
    counting,
    of_other_length,
    within,
    without_vector,
)
from ragflow.engine.docstore.elastic_index import NOT_SHOWN, Index, action_of, chunk_of, key_of
from ragflow.engine.docstore.elastic_search import (
    SCAN,
    WINDOW,
    Hit,
    run,
    scan,
    search,
    statistics,
    text_query,
    walk,
    weights_of,
)
from ragflow.engine.docstore.elastic_server import Server, is_gone, refusal, store_error
from ragflow.engine.docstore.elastic_spaces import SLOT_FIELDS, SLOTS, adding, in_space, removing, slot_of, version_of
from ragflow.engine.errors import DimensionMismatch, StoreError
from ragflow.engine.types import Chunk, Matrix, Vector

BULK_CHUNKS = 500
BULK_BYTES = 10 * 1024 * 1024
REJECTED_RETRIES = 3
"""How often an overloaded server is asked again, after 0.5, 1 and 2 seconds."""

BUCKETS = 10_000
"""Documents, or datasets, per request when the chunks of each are counted."""


class ElasticDocStore:
    """Implements `DocStore` on a server. Threads, processes and forks may share it."""

    name = "elasticsearch"
    most_named_documents: int | None = MAX_TERMS_PER_CLAUSE

    def __init__(self, url: str) -> None:
        """Parse the URL (see `Server`); nothing is connected before the first call."""
        self._server = Server(url)
        self._index = Index(self._server.index)

    @contextmanager
    def _session(self) -> Iterator[Elasticsearch]:
        """A client of an index that exists; its failures come out as StoreError."""
        try:
            client = self._server.client
            self._index.prepare(client)
            yield client
        except (ApiError, TransportError) as error:
            if isinstance(error, NotFoundError):
                self._index.forget()
            raise store_error(error) from error

    # -- writing ---------------------------------------------------------------------------------------------------

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix, *, space: int = 0) -> None:
        if not chunks:
            return
        rows = checked(vectors, len(chunks))
        actions = (action_of(chunk, row, space) for chunk, row in zip(chunks, rows, strict=True))
        distinct = {action["_id"]: action for action in actions}  # the same chunk twice: the last one counts
        datasets = {chunk.dataset_id for chunk in chunks}
        with self._session() as client:
            self._make_room(client, sorted(datasets), space, rows.shape[1])
            self._insert(client, list(distinct.values()))

    def _make_room(self, client: Elasticsearch, dataset_ids: Sequence[str], space: int, dimension: int) -> None:
        """Prepare for vectors of this length in a space. Raises DimensionMismatch when it holds others."""
        self._index.accept(client, space, dimension)
        others = run(client, self._index.name, dataset_ids, of_other_length(dataset_ids, space, dimension))
        for hit in others["hits"]["hits"]:
            raise DimensionMismatch(
                f"The embedding model returned vectors of {dimension} numbers, but the dataset holds vectors of"
                f" {hit['_source'][slot_of(space).dimension]}. Embed the dataset anew, or parse its documents again"
                " after changing the model."
            )

    def _insert(self, client: Elasticsearch, actions: Sequence[Body]) -> None:
        """Write all chunks. If one fails, take those that are new away again: nothing half-written is found."""
        routing = {action["_id"]: action["routing"] for action in actions}
        created: list[str] = []
        try:
            results = self._bulk(client, actions)
            created.extend(result["_id"] for result in results if result.get("result") == "created")
        except (ApiError, TransportError, StoreError):
            with suppress(ApiError, TransportError, StoreError):
                undo = ({"_op_type": "delete", "_id": key, "routing": routing[key]} for key in created)
                list(self._bulk(client, undo))
            raise

    def still_available(self, dataset_ids: Sequence[str], chunk_ids: Sequence[str]) -> set[str]:
        wanted = {clean(chunk_id) for chunk_id in chunk_ids}
        either = Bool(should=[any_of("chunk_id", wanted), any_of("parent_id", wanted)])
        filters = [any_of("dataset_id", dataset_ids), either, Term("available", {"value": True})]
        with self._session() as client:
            hits = scan(client, self._index.name, dataset_ids, filters, _source=["chunk_id", "parent_id"])
            return wanted.intersection(identity for hit in hits for identity in hit["_source"].values())

    def available_ids(self, dataset_id: str, document_id: str) -> set[str]:
        wanted = [*within(dataset_id, document_id), Term("available", {"value": True})]
        with self._session() as client:
            hits = scan(client, self._index.name, [dataset_id], wanted, _source=["chunk_id"])
            return {hit["_source"]["chunk_id"] for hit in hits}

    def set_available(
        self, dataset_id: str, document_id: str, available: bool, chunk_ids: Sequence[str] | None = None
    ) -> int:
        filters = within(dataset_id, document_id)
        if chunk_ids is not None:
            filters.append(any_of("chunk_id", chunk_ids))
        to_switch = [*filters, Term("available", {"value": not available})]
        with self._session() as client:
            addressed = run(client, self._index.name, [dataset_id], counting(filters))["hits"]["total"]["value"]
            hits = scan(client, self._index.name, [dataset_id], to_switch, _source=False)
            self._update(client, ((hit, {"available": available}) for hit in hits), dataset_id)
        return int(addressed)

    def rename_document(self, dataset_id: str, document_id: str, name: str) -> None:
        name = clean(name)
        data = {"document_name": name}
        searchable = {"name_terms": name_terms(name)}
        with self._session() as client:
            hits = scan(client, self._index.name, [dataset_id], within(dataset_id, document_id), _source=["manual"])
            changes = ((hit, data if hit["_source"]["manual"] else data | searchable) for hit in hits)
            self._update(client, changes, dataset_id)

    def _update(self, client: Elasticsearch, changes: Iterable[tuple[Hit, Body]], dataset_id: str) -> None:
        """Change some fields of those chunks that (still) exist."""
        actions = (
            {
                "_op_type": "update",
                "_id": hit["_id"],
                "routing": clean(dataset_id),
                "retry_on_conflict": 10,
                "doc": change,
            }
            for hit, change in changes
        )
        deque(self._bulk(client, actions), maxlen=0)

    def _bulk(
        self, client: Elasticsearch, actions: Iterable[Body], *, conditional: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Send actions in slices, each searchable when it is through; yield their results.

        What an action addresses may be gone already or, if they are `conditional`, be changed; any other failure raises
        StoreError.
        """
        results = streaming_bulk(
            client,
            actions,
            index=self._index.name,
            require_alias=True,  # never let the server invent an index, whose mapping would be anything
            refresh=True,
            chunk_size=BULK_CHUNKS,
            max_chunk_bytes=BULK_BYTES,
            max_retries=REJECTED_RETRIES,
            initial_backoff=0.5,
            raise_on_error=False,
        )
        failure: StoreError | None = None
        for done, item in results:
            (result,) = item.values()
            if done or is_gone(result) or (conditional and result["status"] == HTTPStatus.CONFLICT):
                yield result
            elif failure is None:
                failure = refusal(result["status"], result.get("error"))
                self._index.forget()  # perhaps it is the index that is gone
        if failure is not None:
            raise failure

    # -- deleting --------------------------------------------------------------------------------------------------

    def delete_chunks(self, dataset_id: str, document_id: str, chunk_ids: Sequence[str]) -> ChunkCount:
        return self._delete(dataset_id, [*within(dataset_id, document_id), any_of("chunk_id", chunk_ids)])

    def delete_document(self, dataset_id: str, document_id: str, *, older_than: float | None = None) -> ChunkCount:
        filters = within(dataset_id, document_id)
        if older_than is not None:
            filters.append(Range("created_at", {"lt": older_than}))
        return self._delete(dataset_id, filters)

    def delete_dataset(self, dataset_id: str, *, unhurried: bool = False) -> int:
        return self._delete(dataset_id, within(dataset_id)).chunks

    def _delete(self, dataset_id: str, filters: Sequence[Query]) -> ChunkCount:
        """Delete chunks one by one in bulk: so each is counted once, whoever else deletes at the same time."""
        tokens: dict[str, int] = {}  # of the chunks that are on their way to the server

        def actions(hits: Iterable[Hit]) -> Iterator[Body]:
            for hit in hits:
                tokens[hit["_id"]] = hit["_source"]["tokens"]
                yield {"_op_type": "delete", "_id": hit["_id"], "routing": clean(dataset_id)}

        with self._session() as client:
            hits = scan(client, self._index.name, [dataset_id], filters, _source=["tokens"])
            results = self._bulk(client, actions(hits))
            deleted = [tokens.pop(result["_id"]) for result in results if result.get("result") == "deleted"]
        return ChunkCount(len(deleted), sum(deleted))

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, dataset_ids: Sequence[str], chunk_id: str) -> Chunk | None:
        query = Bool(filter=[any_of("dataset_id", dataset_ids), any_of("chunk_id", [chunk_id])])
        with self._session() as client:
            body = {"query": query.to_dict(), "size": 1, "_source": {"excludes": NOT_SHOWN}}
            answer = run(client, self._index.name, dataset_ids, body)
        hits = answer["hits"]["hits"]
        return chunk_of(hits[0]["_source"]) if hits else None

    def list_chunks(self, dataset_id: str, document_id: str, *, offset: int, limit: int, text: str = "") -> ChunkPage:
        sort: list[Body] = [{"manual": "asc"}, {"place": "asc"}, {"chunk_id": "asc"}]
        must: list[Query] = []
        if text.strip():
            terms = query_terms(clean(text))
            if not terms:
                return ChunkPage((), 0)
            must, sort = [text_query(terms)], [{"_score": "desc"}, *sort]
        query = Bool(must=must, filter=within(dataset_id, document_id))
        body = {"query": query.to_dict(), "sort": sort}
        with self._session() as client:
            hits, total = self._window(client, dataset_id, body, max(offset, 0), max(limit, 0))
        return ChunkPage(tuple(chunk_of(hit["_source"]) for hit in hits), total)

    def _window(
        self, client: Elasticsearch, dataset_id: str, body: Body, offset: int, limit: int
    ) -> tuple[list[Hit], int]:
        """Return hits `offset` to `offset + limit` of a sorted search, and the number of all."""
        body = body | {"_source": {"excludes": NOT_SHOWN}}
        shallow = offset + limit <= WINDOW
        first: Body = {"from": offset, "size": limit} if shallow else {"size": 0}
        answer = run(client, self._index.name, [dataset_id], body | first | {"track_total_hits": True})
        total: int = answer["hits"]["total"]["value"]
        wanted = min(limit, total - offset)
        if shallow or wanted <= 0:
            return answer["hits"]["hits"], total
        hits = walk(client, self._index.name, [dataset_id], body, page=min(wanted, SCAN), skip=offset)
        return list(islice(hits, wanted)), total

    def count(self, dataset_id: str, document_id: str | None = None) -> ChunkCount:
        body = counting(within(dataset_id, document_id)) | {"aggs": {"tokens": {"sum": {"field": "tokens"}}}}
        with self._session() as client:
            answer = run(client, self._index.name, [dataset_id], body)
        return ChunkCount(answer["hits"]["total"]["value"], int(answer["aggregations"]["tokens"]["value"]))

    def search(self, request: SearchRequest) -> Candidates:
        with self._session() as client:
            return search(client, self._index, request)

    def load(self, handles: Sequence[Any]) -> list[Chunk | None]:
        if not len(handles):
            return []
        wanted = [{"_id": key_of(*handle), "routing": handle[0]} for handle in handles]
        with self._session() as client:
            answer = client.mget(index=self._index.name, docs=wanted, source_excludes=NOT_SHOWN)
        return [chunk_of(found["_source"]) if found.get("found") else None for found in answer["docs"]]

    def term_weights(self, dataset_ids: Sequence[str], text: str) -> dict[str, float]:
        terms = query_terms(clean(text))
        if not terms:
            return {}
        with self._session() as client:
            answer = run(client, self._index.name, dataset_ids, statistics(terms))
        return dict(zip(terms, weights_of(answer), strict=True))

    def vectors(
        self, dataset_ids: Sequence[str], chunk_ids: Sequence[str], *, spaces: Mapping[str, int] = FIRST_SPACE
    ) -> dict[str, Vector]:
        space_of = {clean(dataset_id): spaces.get(dataset_id, 0) for dataset_id in dataset_ids}
        wanted = {clean(chunk_id) for chunk_id in chunk_ids}
        either = Bool(should=[any_of("chunk_id", wanted), any_of("parent_id", wanted)])
        filters = [any_of("dataset_id", dataset_ids), either]
        shown = ["dataset_id", "chunk_id", "parent_id", *SLOT_FIELDS]
        fields = [f"{slot.vectors}*" for slot in SLOTS]
        sums: dict[str, Vector] = {}
        with self._session() as client:
            for hit in scan(client, self._index.name, dataset_ids, filters, _source=shown, fields=fields):
                source = hit["_source"]
                space = space_of[source["dataset_id"]]
                slot = slot_of(space)
                if not slot.holds(source, space):
                    continue
                vector = np.array(hit["fields"][slot.vector(source[slot.dimension])], np.float32)
                for identity in wanted.intersection((source["chunk_id"], source["parent_id"])):
                    sums[identity] = sums[identity] + vector if identity in sums else vector
        return {identity: vector / (np.linalg.norm(vector) or 1.0) for identity, vector in sums.items()}

    # -- vectors of another model ----------------------------------------------------------------------------------

    def lacking(self, dataset_id: str, space: int) -> Iterator[Versioned]:
        shown = {"_source": {"excludes": NOT_SHOWN}, "seq_no_primary_term": True}
        with self._session() as client:
            for hit in scan(client, self._index.name, [dataset_id], without_vector(dataset_id, space), **shown):
                yield Versioned(chunk_of(hit["_source"]), version_of(hit, space))

    def count_lacking(self, dataset_id: str, space: int) -> int:
        with self._session() as client:
            answer = run(client, self._index.name, [dataset_id], counting(without_vector(dataset_id, space)))
        return int(answer["hits"]["total"]["value"])

    def add_vectors(self, dataset_id: str, space: int, chunks: Sequence[Versioned], vectors: Matrix) -> int:
        if not chunks:
            return 0
        rows = checked(vectors, len(chunks))
        routing = clean(dataset_id)
        actions = (
            adding(version, routing, space, row)
            for (chunk, version), row in zip(chunks, rows, strict=True)
            if chunk.dataset_id == routing  # those of another may lie in the same shard
        )
        with self._session() as client:
            self._make_room(client, [dataset_id], space, rows.shape[1])
            results = list(self._bulk(client, actions, conditional=True))
        return sum(result.get("result") in {"updated", "noop"} for result in results)

    def drop_space(self, dataset_id: str, space: int) -> None:
        shown = {"_source": [slot_of(space).dimension], "seq_no_primary_term": True}
        left = True
        with self._session() as client:
            while left:  # what others were changing comes again
                hits = scan(client, self._index.name, [dataset_id], [*within(dataset_id), in_space(space)], **shown)
                actions = (removing(hit, clean(dataset_id), space) for hit in hits)
                left = sum(1 for _ in self._bulk(client, actions, conditional=True)) > 0

    # -- the whole store -------------------------------------------------------------------------------------------

    def dataset_ids(self) -> set[str]:
        return set(self._counts("dataset_id", []))

    def counts_by_document(self, dataset_id: str) -> dict[str, ChunkCount]:
        return self._counts("document_id", [dataset_id])

    def _counts(self, field: str, dataset_ids: Sequence[str]) -> dict[str, ChunkCount]:
        """Count the chunks and tokens by the values of a field, in these datasets (or everywhere if none is named)."""
        query = Bool(filter=[any_of("dataset_id", dataset_ids)] if dataset_ids else []).to_dict()
        buckets: Body = {"size": BUCKETS, "sources": [{"value": {"terms": {"field": field}}}]}
        tokens: Body = {"tokens": {"sum": {"field": "tokens"}}}
        found: dict[str, ChunkCount] = {}
        with self._session() as client:
            while True:
                body = {"query": query, "size": 0, "aggs": {"values": {"composite": buckets, "aggs": tokens}}}
                page = run(client, self._index.name, dataset_ids, body)["aggregations"]["values"]
                for bucket in page["buckets"]:
                    found[bucket["key"]["value"]] = ChunkCount(bucket["doc_count"], int(bucket["tokens"]["value"]))
                if len(page["buckets"]) < BUCKETS:
                    return found
                buckets["after"] = page["after_key"]

    def ping(self) -> str:
        with self._session() as client:
            chunks = client.count(index=self._index.name)["count"]
            status = client.cluster.health(index=self._index.name)["status"]
        return f"Elasticsearch index {self._index.name}, {status}, {chunks} chunks"

    def close(self) -> None:
        self._server.close()
