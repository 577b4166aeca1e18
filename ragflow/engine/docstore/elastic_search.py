"""Queries of the Elasticsearch store: paging, and the ranking search with both raw scores.

A search is one request of several parts (msearch): the best text hits, the nearest vectors, in how many chunks each
term occurs, and a probe for chunks whose vectors are of another length or space. Chunks that one side found and the
other did not return are scored by that other side in a second request; where the nearest vectors cover the whole
scope, there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from operator import itemgetter
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch
from elasticsearch.dsl.query import Bool, CombinedFields, Ids, MatchAll, Query, Term
from numpy.typing import NDArray

from ragflow.engine.docstore.analysis import clean, query_terms, term_weight
from ragflow.engine.docstore.base import NOTHING, Candidates, SearchRequest
from ragflow.engine.docstore.elastic_filters import (
    MAX_TERMS_PER_CLAUSE,
    Body,
    any_of,
    by_space,
    incomparable,
    within_spaces,
)
from ragflow.engine.docstore.elastic_index import Index, key_of
from ragflow.engine.docstore.elastic_server import refusal
from ragflow.engine.docstore.elastic_spaces import Slot, slot_of
from ragflow.engine.errors import DimensionMismatch, InvalidQuery, VectorsMissing

WINDOW = 10_000
"""Hits that Elasticsearch returns in one answer, and vectors that it considers; both are its defaults."""

TEXT_HITS = 4000
"""Text hits of a search at most. Each costs a row in two answers: 10,000 take longer than all the rest."""

SCAN = 1000
"""Hits per request when a whole document or dataset is walked through."""

FIELDS = ["name_terms^5", "keyword_terms^15", "question_terms^10", "content_terms"]
"""Weights of name, keywords, questions and content: 10 : 30 : 20 : 2, as the contract boosts them."""

IDENTITY = ("dataset_id", "document_id", "chunk_id")
"""No two chunks agree in these, so sorting by them goes through all chunks once."""

MAX_NAMED_DOCUMENTS = 4 * MAX_TERMS_PER_CLAUSE
"""Document ids of a search at most: each is sent with every part of it."""

MAX_ROUTES = 64
"""Datasets that a request names in its URL to reach only their shards; for more it asks all shards."""

NEAREST = "nearest "
"""What the names of searches for vectors begin with."""

Hit = dict[str, Any]


# -- queries -------------------------------------------------------------------------------------------------------


def text_query(terms: Sequence[str]) -> Query:
    """Score as text: BM25 over all four fields as if they were one, with their weights."""
    return CombinedFields(query=" ".join(terms), fields=FIELDS, operator="or")


def routing_of(dataset_ids: Sequence[str]) -> str | None:
    """Name the shards that hold these datasets; None: ask them all."""
    routes = [clean(dataset_id) for dataset_id in dataset_ids]
    if not 0 < len(routes) <= MAX_ROUTES or not all(routes) or any("," in route for route in routes):
        return None
    return ",".join(routes)


def run(client: Elasticsearch, index: str, dataset_ids: Sequence[str], body: Body) -> Body:
    """Search once. An answer that lacks a part of the index is an error, never a shorter answer."""
    answer: Body = client.search(
        index=index,
        routing=routing_of(dataset_ids),
        search_type="dfs_query_then_fetch",
        allow_partial_search_results=False,
        body=body,
    ).body
    return answer


def run_all(
    client: Elasticsearch, index: str, dataset_ids: Sequence[str], searches: Mapping[str, Body]
) -> dict[str, Body]:
    """Run several searches in one request; return their answers by name."""
    routing = routing_of(dataset_ids)
    common = {"index": index, "allow_partial_search_results": False} | ({"routing": routing} if routing else {})
    lines: list[Body] = []
    for body in searches.values():
        one_idf = {} if "knn" in body else {"search_type": "dfs_query_then_fetch"}  # over however many shards
        lines += [common | one_idf, body]
    answers = client.msearch(searches=lines).body["responses"]
    for answer in answers:
        if "error" in answer:
            raise refusal(answer["status"], answer["error"])
    return dict(zip(searches, answers, strict=True))


def walk(
    client: Elasticsearch, index: str, dataset_ids: Sequence[str], body: Body, *, page: int, skip: int = 0
) -> Iterator[Hit]:
    """Yield the hits of a search after the first `skip`, page after page, also those beyond the window.

    The sort of the search must be a total order.
    """
    after: Body = {}
    while True:
        size, shown = (min(skip, WINDOW), {"_source": False}) if skip else (page, {})
        part = body | shown | after | {"size": size, "track_total_hits": False}
        hits = run(client, index, dataset_ids, part)["hits"]["hits"]
        if not skip:
            yield from hits
        if len(hits) < size:
            return
        skip -= size if skip else 0
        after = {"search_after": hits[-1]["sort"]}


def scan(
    client: Elasticsearch, index: str, dataset_ids: Sequence[str], filters: Sequence[Query], **body: Any
) -> Iterator[Hit]:
    """Yield all chunks that pass the filters, in the order of their identity, as many as there are."""
    search = {"query": Bool(filter=list(filters)).to_dict(), "sort": [{name: "asc"} for name in IDENTITY]}
    yield from walk(client, index, dataset_ids, search | body, page=SCAN)


# -- term weights --------------------------------------------------------------------------------------------------


def statistics(terms: Sequence[str]) -> Body:
    """Count the chunks of the store, and those that hold each term."""
    filters = [Term("terms", {"value": term}).to_dict() for term in terms]
    return {
        "query": MatchAll().to_dict(),
        "size": 0,
        "track_total_hits": True,
        "aggs": {"terms": {"filters": {"filters": filters}}},
    }


def weights_of(answer: Body) -> list[float]:
    """Return the weight of each term from an answer to `statistics`."""
    total = answer["hits"]["total"]["value"]
    return [term_weight(total, bucket["doc_count"]) for bucket in answer["aggregations"]["terms"]["buckets"]]


# -- ranking -------------------------------------------------------------------------------------------------------


Key = tuple[str, str, str]
Row = Mapping[str, list[str]]


@dataclass(slots=True, eq=False)
class _Found:
    """What the searches returned so far, by identity of the chunk."""

    rows: dict[Key, Row] = field(default_factory=dict)
    bm25: dict[Key, float] = field(default_factory=dict)
    matched: dict[Key, list[str]] = field(default_factory=dict)  # numbers of the query's terms
    cosine: dict[Key, float] = field(default_factory=dict)

    def add_text(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            key = self._add_row(hit)
            self.bm25[key] = hit["_score"]
            self.matched[key] = hit["matched_queries"]

    def add_vectors(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            self.cosine[self._add_row(hit)] = _cosine(hit["_score"])

    def _add_row(self, hit: Hit) -> Key:
        row = hit["fields"]
        key = (row["dataset_id"][0], row["document_id"][0], row["chunk_id"][0])
        self.rows[key] = row
        return key


class _Question:
    """A search request as bodies of searches."""

    def __init__(self, request: SearchRequest) -> None:
        self.terms = query_terms(clean(request.text))
        self.vector = request.vector
        self.spaces = by_space(request.dataset_ids, request.spaces)
        self.slots: list[Slot] = []  # where vectors of this length can be
        self.text_limit = min(request.text_limit, TEXT_HITS)
        self.top_k = min(request.top_k, WINDOW)
        self.dataset_ids = request.dataset_ids
        self._scope: list[Query] = [any_of("dataset_id", request.dataset_ids)]
        if request.document_ids is not None:
            self._scope.append(any_of("document_id", request.document_ids))
        if request.excluded_document_ids:
            self._scope.append(Bool(must_not=[any_of("document_id", request.excluded_document_ids)]))
        if request.only_available:
            self._scope.append(Term("available", {"value": True}))

    def text(self, limit: int, only: Sequence[Query] = ()) -> Body:
        named = [Term("terms", {"value": term, "_name": str(number)}) for number, term in enumerate(self.terms)]
        filters = [*self._scope, *only, Bool(should=named)]
        query = Bool(must=[text_query(self.terms)], filter=filters)
        return _returning(limit) | {"query": query.to_dict()}

    def look_for_slots(self, client: Elasticsearch, index: Index) -> None:
        """Find out where the datasets can have vectors that compare with the question's."""
        if self.vector is not None:
            slots = dict.fromkeys(slot_of(space) for space in self.spaces)
            self.slots = [slot for slot in slots if index.holds(client, slot.vector(len(self.vector)))]

    def nearest(self, limit: int, only: Sequence[Query] = ()) -> dict[str, Body]:
        """Return a search per slot, by its name; each has as many hits as all of them shall have together."""
        return {f"{NEAREST}{slot.vectors}": self._nearest_in(slot, limit, only) for slot in self.slots}

    def _nearest_in(self, slot: Slot, limit: int, only: Sequence[Query]) -> Body:
        assert self.vector is not None
        spaces = {space: ids for space, ids in self.spaces.items() if slot_of(space) is slot}
        knn = {
            "field": slot.vector(len(self.vector)),
            "query_vector": self.vector.tolist(),
            "k": limit,
            "num_candidates": limit,
            "filter": [query.to_dict() for query in (*self._scope, within_spaces(spaces), *only)],
        }
        return _returning(limit) | {"knn": knn}

    def not_comparable(self, hit: Hit) -> Exception:
        """Return the error for a chunk that `incomparable` found."""
        assert self.vector is not None
        source = hit["_source"]
        space = next(space for space, ids in self.spaces.items() if source["dataset_id"] in ids)
        slot = slot_of(space)
        if not slot.holds(source, space):
            return VectorsMissing()
        return DimensionMismatch(
            f"The question's vector has {len(self.vector)} numbers, those of the dataset {source[slot.dimension]}."
            " The dataset was made with another embedding model."
        )


def search(client: Elasticsearch, index: Index, request: SearchRequest) -> Candidates:
    """Rank the chunks of the datasets; see `DocStore.search`."""
    if not request.dataset_ids or request.document_ids == ():
        return NOTHING
    _require_few_documents(request)
    question = _Question(request)
    question.look_for_slots(client, index)
    searches: dict[str, Body] = {}
    if question.vector is not None:
        searches["incomparable"] = incomparable(question.spaces, len(question.vector))
    if question.terms:
        searches["statistics"] = statistics(question.terms)
        searches["text"] = question.text(question.text_limit)
    searches |= question.nearest(question.top_k)
    if not searches:
        return NOTHING
    answers = run_all(client, index.name, request.dataset_ids, searches)
    for hit in _hits(answers, "incomparable"):
        raise question.not_comparable(hit)

    found = _Found()
    found.add_text(_hits(answers, "text"))
    found.add_vectors(_nearest(answers, question.top_k))
    _complete(client, index.name, question, found)
    weights = weights_of(answers["statistics"]) if question.terms else []
    return _candidates(found, request.dataset_ids, weights, scored_by_vector=bool(question.slots))


def _require_few_documents(request: SearchRequest) -> None:
    named = len(request.document_ids or ()) + len(request.excluded_document_ids)
    if named > MAX_NAMED_DOCUMENTS:
        raise InvalidQuery(
            f"The search is restricted to {named} documents one by one; Elasticsearch is asked for at most"
            f" {MAX_NAMED_DOCUMENTS}. Narrow the filter, or search fewer datasets at a time.",
            field="document_ids",
        )


def _complete(client: Elasticsearch, index: str, question: _Question, found: _Found) -> None:
    """Get the score that each side owes for chunks that only the other side returned."""
    searches: dict[str, Body] = {}
    if question.slots and (only_text := found.bm25.keys() - found.cosine.keys()):
        searches |= question.nearest(len(only_text), only=[_these(only_text)])
    text_was_cut = bool(found.bm25) and len(found.bm25) == question.text_limit
    if text_was_cut and (only_vector := found.cosine.keys() - found.bm25.keys()):
        searches["text"] = question.text(len(only_vector), only=[_these(only_vector)])
    if searches:
        answers = run_all(client, index, question.dataset_ids, searches)
        found.add_text(_hits(answers, "text"))
        found.add_vectors(_nearest(answers))


def _candidates(
    found: _Found, dataset_ids: Sequence[str], weights: Sequence[float], *, scored_by_vector: bool
) -> Candidates:
    # A chunk deleted between two requests has no cosine: it is no candidate any more.
    keys = [key for key in found.rows if not scored_by_vector or key in found.cosine]
    rows = [found.rows[key] for key in keys]
    size = len(keys)
    first_place = {clean(dataset_id): place for place, dataset_id in reversed(list(enumerate(dataset_ids)))}
    documents: dict[tuple[str, str], int] = {}
    names: list[tuple[str, str]] = []
    for key, row in zip(keys, rows, strict=True):
        if documents.setdefault(key[:2], len(names)) == len(names):
            names.append((key[1], row["document_name"][0]))
    return Candidates(
        handles=np.fromiter(keys, np.object_, size),
        term=_shares([found.matched.get(key, ()) for key in keys], weights),
        bm25=np.fromiter((found.bm25.get(key, 0.0) for key in keys), np.float64, size),
        cosine=np.fromiter((found.cosine.get(key, 0.0) for key in keys), np.float64, size),
        dataset=np.fromiter((first_place[key[0]] for key in keys), np.int64, size),
        document=np.fromiter((documents[key[:2]] for key in keys), np.int64, size),
        parent=_parent_numbers(rows),
        documents=tuple(names),
    )


def _shares(matched: Sequence[Sequence[str]], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of the query's weight that each chunk holds; `matched` has the numbers of its terms."""
    total = sum(weights)
    shares = (sum(weights[int(number)] for number in numbers) / total if numbers else 0.0 for numbers in matched)
    return np.minimum(np.fromiter(shares, np.float64, len(matched)), 1.0)


def _parent_numbers(rows: Sequence[Row]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    parents = (row["parent_id"][0] if "parent_id" in row else None for row in rows)
    return np.fromiter(
        (numbers.setdefault(parent, len(numbers) + 1) if parent else 0 for parent in parents), np.int64, len(rows)
    )


def _these(keys: Iterable[Key]) -> Query:
    return Ids(values=[key_of(*key) for key in keys])


def _returning(limit: int) -> Body:
    fields = [*IDENTITY, "document_name", "parent_id"]
    # From columns alone: reading the stored `_id` of a thousand hits takes as long as finding them.
    return {"size": limit, "stored_fields": "_none_", "docvalue_fields": fields, "track_total_hits": False}


def _hits(answers: Mapping[str, Body], name: str) -> list[Hit]:
    hits: list[Hit] = answers[name]["hits"]["hits"] if name in answers else []
    return hits


def _nearest(answers: Mapping[str, Body], limit: int | None = None) -> list[Hit]:
    """Return the hits of all searches for vectors, the best `limit` of them."""
    hits = [hit for name in answers if name.startswith(NEAREST) for hit in _hits(answers, name)]
    return hits if limit is None else nlargest(limit, hits, key=itemgetter("_score"))


def _cosine(score: float) -> float:
    """Return the inner product that Elasticsearch made this positive score of."""
    product = score - 1 if score >= 1 else 1 - 1 / score
    return min(max(product, -1.0), 1.0)
