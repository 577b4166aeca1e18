"""What clients may send about documents and chunks. The contract types these bodies loosely, and names each mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import QueryDict

from apps.core.errors import BadValue, DataError
from apps.core.validation import integer, number
from apps.core.wire_profile import profile
from apps.documents.metadata.condition import Condition, read_condition
from apps.documents.models import Document
from apps.documents.selectors import DocumentFilter

NO_NEGATIVE_SLICES = "Search does not support negative slicing."  # the reference's words for a page below 1


@dataclass(frozen=True, slots=True)
class IdList:
    """The ids of a request: each once, in order, and a sentence for each that came more often."""

    ids: list[str]
    repeated: list[str]


def id_list(field: str, value: Any, *, kind: str) -> IdList:
    """Read a list of ids. Raises BadValue for anything else."""
    if not isinstance(value, list):
        is_iterable = isinstance(value, str | dict)  # Python itself would not complain
        error = TypeError(f"'{type(value).__name__}' object is not iterable")
        raise BadValue(f"`{field}` must be a list of ids.", reference=None if is_iterable else repr(error))
    for item in value:
        if not isinstance(item, str):
            raise BadValue(f"`{field}` must hold ids only, not {item!r}.")
    counts = Counter(value)
    return IdList(list(counts), [f"Duplicate {kind} ids: {id_}" for id_, count in counts.items() if count > 1])


def required_document_ids(payload: Mapping[str, Any]) -> IdList:
    """Read `document_ids` of a parse or stop request."""
    value = payload.get("document_ids")
    if not value:
        raise DataError("`document_ids` is required")
    return id_list("document_ids", value, kind="document")


def partial_success(done: int, repeated: list[str]) -> dict[str, Any] | None:
    """Return what a success says when ids came more than once; None when there is nothing to say."""
    return {"success_count": done, "errors": repeated} if repeated else None


_SORTABLE = frozenset(
    {
        "id",
        "name",
        "suffix",
        "location",
        "size",
        "type",
        "source_type",
        "thumbnail",
        "created_by",
        "chunk_method",
        "pipeline_id",
        "progress",
        "process_begin_at",
        "process_duration",
        "chunk_count",
        "token_count",
    }
)
_OTHER_NAMES = {
    "create_time": "created_at",
    "create_date": "created_at",
    "update_time": "updated_at",
    "update_date": "updated_at",
    "kb_id": "dataset_id",
    "dataset_id": "dataset_id",
    "parser_id": "chunk_method",
    "chunk_num": "chunk_count",
    "token_num": "token_count",
    "run": "state",
    "status": "enabled",
    "progress_msg": "progress_message",
}


def order_of(query: Mapping[str, str]) -> str:
    """Return the column that a list is sorted by. Raises BadValue for one that documents do not have."""
    wanted = query.get("orderby") or "create_time"
    if wanted not in _SORTABLE and wanted not in _OTHER_NAMES:
        raise BadValue(
            f"`orderby` must be a field of a document, not {wanted!r}.",
            reference=repr(AttributeError(f"type object 'Document' has no attribute {wanted!r}")),
        )
    return _OTHER_NAMES.get(wanted, wanted)


def document_filter(query: QueryDict) -> DocumentFilter:
    """Read the restrictions of a document list. Raises BadValue for times that are no whole numbers."""
    states = {state.name: state.value for state in Document.State} | {code: code for code in Document.State.values}
    created_from, created_to = _milliseconds(query, "create_time_from"), _milliseconds(query, "create_time_to")
    return DocumentFilter(
        id=query.get("id", ""),
        name=query.get("name", ""),
        keywords=query.get("keywords", ""),
        suffixes=tuple(suffix.replace("\0", "\ufffd") for suffix in query.getlist("suffix")),
        states=tuple(states.get(run, "?") for run in query.getlist("run")),  # an unknown state is that of no document
        created_from=_moment("create_time_from", created_from),
        created_before=_moment("create_time_to", created_to + 1) if created_to else None,
    )


def _milliseconds(query: QueryDict, name: str) -> int:
    return integer(name, query.get(name) or 0)


def _moment(name: str, milliseconds: int) -> datetime | None:
    if milliseconds == 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise BadValue(f"`{name}` must be a Unix time in milliseconds.") from None


@dataclass(frozen=True, slots=True)
class RetrievalScope:
    """What a retrieval request says before the documents it names are looked up."""

    document_ids: list[Any]
    page: int
    page_size: int


def retrieval_scope(payload: Mapping[str, Any]) -> RetrievalScope:
    """Read what the contract checks before the documents. Raises DataError, BadValue."""
    if "question" not in payload:
        raise DataError("`question` is required.")
    page, page_size = integer("page", payload.get("page", 1)), integer("page_size", payload.get("page_size", 30))
    document_ids = payload.get("document_ids", [])
    if not isinstance(document_ids, list):
        raise DataError("`documents` should be a list")
    return RetrievalScope(document_ids, page, page_size)


@dataclass(frozen=True, slots=True)
class RetrievalQuestion:
    """What a retrieval request says besides."""

    text: str
    condition: Condition | None  # counts only where no documents are named
    similarity_threshold: float
    vector_similarity_weight: float
    top_k: int
    rerank_id: str
    highlight: bool
    keyword: bool
    cross_languages: list[str]


MOST_CANDIDATES = 5000


def retrieval_question(payload: Mapping[str, Any]) -> RetrievalQuestion:
    """Read what the contract checks after the documents. Raises DataError, BadValue."""
    condition = None if payload.get("document_ids") else read_condition(payload.get("metadata_condition"))
    question = payload["question"]
    if question is not None and not isinstance(question, str):
        raise BadValue(f"`question` must be text, not {question!r}.")
    languages = payload.get("cross_languages") or []
    if not isinstance(languages, list) or not all(isinstance(language, str) for language in languages):
        raise BadValue("`cross_languages` must be a list of languages.")
    rerank_id = payload.get("rerank_id") or ""
    if not isinstance(rerank_id, str):
        raise BadValue(f"`rerank_id` must be the name of a model, not {rerank_id!r}.")
    return RetrievalQuestion(
        text=question or "",
        condition=condition,
        similarity_threshold=number("similarity_threshold", payload.get("similarity_threshold", 0.2)),
        vector_similarity_weight=number("vector_similarity_weight", payload.get("vector_similarity_weight", 0.3)),
        top_k=integer("top_k", payload.get("top_k", 1024)),
        rerank_id=rerank_id,
        highlight=_highlights(payload.get("highlight")),
        keyword=bool(payload.get("keyword")),
        cross_languages=languages,
    )


def _highlights(sent: Any) -> bool:
    """Only the words switch highlighting off for the reference, the boolean does not."""
    if sent is False:
        return not profile().false_stops_highlighting
    return sent not in ("False", "false")
