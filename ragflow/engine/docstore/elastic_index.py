"""The index in Elasticsearch: its one strict mapping, and chunks as documents of it.

Text comes analysed (see analysis.py) and is split at blanks only, so this store matches exactly what the embedded one
matches. Nothing is ever mapped dynamically; vectors of each length have a field of their own.
"""

from __future__ import annotations

from typing import Any

import xxhash
from elasticsearch import BadRequestError, Elasticsearch, NotFoundError, dsl
from elasticsearch.dsl import Boolean, DenseVector, Document, Double, Integer, Keyword, Mapping, MetaField, Object, Text

from ragflow.engine.docstore.analysis import clean, indexed, name_terms
from ragflow.engine.docstore.elastic_spaces import SLOTS, slot_of, vector_fields
from ragflow.engine.errors import StoreError
from ragflow.engine.types import Chunk, Position, Vector

VERSION = 1
"""Of the mapping. The store's name is an alias of the index `<name>-<version>`."""

MAX_DIMENSION = 4096

NOT_SHOWN = ["*_terms", *(f"{slot.vectors}*" for slot in SLOTS)]
"""What `chunk_of` does not read."""


def _terms_field() -> Text:
    return Text(analyzer="whitespace", index_options="freqs", copy_to="terms")


class ChunkDocument(Document):
    """One chunk. What filters, sorts or matches is a field; all else lies unindexed in `chunk`."""

    dataset_id = Keyword()
    document_id = Keyword()
    document_name = Keyword(index=False)
    chunk_id = Keyword()
    parent_id = Keyword()
    available = Boolean()
    manual = Boolean()
    place = Double()  # parsed chunks: their order; manual ones: minus their creation time
    created_at = Double()
    tokens = Integer()
    dimension = Integer()
    name_terms = _terms_field()
    keyword_terms = _terms_field()
    question_terms = _terms_field()
    content_terms = _terms_field()
    terms = Text(analyzer="whitespace", index_options="docs", norms=False)  # of all four: which chunks hold a term
    chunk = Object(enabled=False)

    class Meta:
        dynamic = MetaField("strict")


class Index:
    """Knows whether the index exists and which fields it has; makes what is missing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._fields: frozenset[str] | None = None  # None: not looked at yet

    def forget(self) -> None:
        self._fields = None

    def prepare(self, client: Elasticsearch) -> None:
        """Create the index unless it exists, and wait until it answers. Free after the first call."""
        if self._fields is None:
            self._fields = self._mapped(client)
            client.cluster.health(index=self.name, wait_for_status="yellow", timeout="30s")

    def holds(self, client: Elasticsearch, field: str) -> bool:
        """Tell whether any chunk can have this field."""
        known = self._fields or frozenset()
        if field not in known:  # another process may have added it
            self._fields = known = self._mapped(client)
        return field in known

    def accept(self, client: Elasticsearch, space: int, dimension: int) -> None:
        """Add the fields for vectors of this space and length unless they exist."""
        slot = slot_of(space)
        needed = {slot.vector(dimension)} | ({slot.dimension, slot.space} if space else set())
        if needed <= (self._fields or frozenset()):
            return
        if not 0 < dimension <= MAX_DIMENSION:
            raise StoreError(f"Elasticsearch holds vectors of 1 to {MAX_DIMENSION} numbers, not of {dimension}.")
        mapping = Mapping()
        # Flat: exact, and no graph to build while documents come in. The inner product of unit vectors is their
        # cosine and, unlike Elasticsearch's own cosine, allows the zero vector.
        mapping.field(
            slot.vector(dimension),
            DenseVector(dims=dimension, index=True, similarity="max_inner_product", index_options={"type": "flat"}),
        )
        if space:
            mapping.field(slot.dimension, Integer()).field(slot.space, Integer())
        client.indices.put_mapping(index=self.name, **mapping.to_dict())
        self._fields = (self._fields or frozenset()) | needed

    def _mapped(self, client: Elasticsearch) -> frozenset[str]:
        try:
            answer = client.indices.get_mapping(index=self.name)
        except NotFoundError:
            self._create(client)
            return frozenset()
        return frozenset(name for index in answer.body.values() for name in index["mappings"].get("properties", {}))

    def _create(self, client: Elasticsearch) -> None:
        index = dsl.Index(f"{self.name}-{VERSION}", using=client)
        index.document(ChunkDocument)
        index.aliases(**{self.name: {}})
        index.settings(auto_expand_replicas="0-1")
        try:
            index.create()
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":  # made by another process meanwhile
                raise


def key_of(dataset_id: str, document_id: str, chunk_id: str) -> str:
    """Return the `_id` of a chunk: 32 hex characters, however long the ids are."""
    return xxhash.xxh3_128_hexdigest("\0".join((dataset_id, document_id, chunk_id)).encode())


def action_of(chunk: Chunk, vector: Vector, space: int) -> dict[str, Any]:
    """Return the bulk action that writes a chunk, with a vector in this space, in the place of any earlier state."""
    dataset_id, document_id, chunk_id = clean(chunk.dataset_id), clean(chunk.document_id), clean(chunk.id)
    name = clean(chunk.document_name)
    source = {
        "dataset_id": dataset_id,
        "document_id": document_id,
        "document_name": name,
        "chunk_id": chunk_id,
        "parent_id": clean(chunk.parent_id) or None,
        "available": chunk.available,
        "manual": chunk.manual,
        "place": -chunk.created_at if chunk.manual else chunk.order,
        "created_at": chunk.created_at,
        "tokens": chunk.token_count,
        "name_terms": "" if chunk.manual else name_terms(name),
        "keyword_terms": indexed(clean("\n".join(chunk.keywords))),
        "question_terms": indexed(clean("\n".join(chunk.questions))),
        "content_terms": indexed(clean(chunk.content)),
        "chunk": {
            "content": clean(chunk.content),
            "kind": chunk.kind,
            "keywords": [clean(keyword) for keyword in chunk.keywords],
            "questions": [clean(question) for question in chunk.questions],
            "positions": [[p.page, p.left, p.right, p.top, p.bottom] for p in chunk.positions],
            "parent_content": clean(chunk.parent_content),
            "image_id": clean(chunk.image_id),
            "order": chunk.order,
        },
        **vector_fields(space, vector),
    }
    return {
        "_op_type": "index",
        "_id": key_of(dataset_id, document_id, chunk_id),
        "routing": dataset_id,
        "_source": source,
    }


def chunk_of(source: dict[str, Any]) -> Chunk:
    data = source["chunk"]
    return Chunk(
        id=source["chunk_id"],
        dataset_id=source["dataset_id"],
        document_id=source["document_id"],
        document_name=source["document_name"],
        content=data["content"],
        kind=data["kind"],
        keywords=tuple(data["keywords"]),
        questions=tuple(data["questions"]),
        positions=tuple(Position(*edges) for edges in data["positions"]),
        parent_id=source["parent_id"] or "",
        parent_content=data["parent_content"],
        image_id=data["image_id"],
        available=source["available"],
        manual=source["manual"],
        order=data["order"],
        token_count=source["tokens"],
        created_at=source["created_at"],
    )
