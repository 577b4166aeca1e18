"""Assistants, sessions, messages, search apps and references as the API shows them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from apps.accounts.models import User
from apps.chats.embeddings import Embedded
from apps.chats.models import Assistant, Message, SearchApp, Session
from apps.chats.prompt_config import public_names
from apps.chats.search_config import WEB_SEARCH_KEY, without_key
from apps.core.clock import milliseconds, timestamps
from apps.datasets.models import KnowledgeBase
from apps.datasets.web.wire import stored_dataset_to_wire
from apps.documents.wire import positions_to_wire
from ragflow.engine.generation.mind_map import Node
from ragflow.engine.types import Answer, Passage, Retrieval

_OF_A_ROW = frozenset({"document_id", "document_name"})
_SHORT_CHUNK = ("id", "content", "document_id", "document_name", "dataset_id", "image_id", "positions")


def assistant_to_wire(assistant: Assistant, *, with_key: bool) -> dict[str, Any]:
    """Return what a creation and a list have in common; the key of web searches only to whoever may change it."""
    return {
        "id": assistant.pk,
        "tenant_id": assistant.tenant_id,
        "name": assistant.name,
        "avatar": assistant.avatar,
        "description": assistant.description,
        "language": assistant.language,
        "llm": {**assistant.generation_options, "model_name": assistant.chat_model},
        "prompt": _prompt_to_wire(assistant, with_key=with_key),
        "prompt_type": assistant.prompt_type,
        "meta_data_filter": assistant.metadata_filter,
        "do_refer": assistant.do_refer,
        "status": "1",
        **timestamps(assistant.created_at, assistant.updated_at),
    }


def embedded_assistant_to_wire(assistant: Assistant) -> dict[str, Any]:
    """Return what visitors of a page see of the assistant that it embeds."""
    return {
        "title": assistant.name,
        "avatar": assistant.avatar,
        "prologue": assistant.prompt_config.get("prologue") or "",
        "has_tavily_key": bool(assistant.prompt_config.get(WEB_SEARCH_KEY)),
    }


def _prompt_to_wire(assistant: Assistant, *, with_key: bool) -> dict[str, Any]:
    config = assistant.prompt_config
    return {
        **public_names(config if with_key else without_key(config)),
        "similarity_threshold": assistant.similarity_threshold,
        "keywords_similarity_weight": 1 - assistant.vector_similarity_weight,
        "top_n": assistant.top_n,
        "rerank_model": assistant.rerank_model,
    }


def listed_assistant_to_wire(
    assistant: Assistant, datasets: Iterable[KnowledgeBase], *, with_key: bool
) -> dict[str, Any]:
    return {
        **assistant_to_wire(assistant, with_key=with_key),
        "top_k": assistant.top_k,
        "datasets": [stored_dataset_to_wire(dataset) for dataset in datasets],
    }


def session_to_wire(session: Session, messages: Iterable[Message]) -> dict[str, Any]:
    return {
        "id": session.pk,
        "chat_id": session.assistant_id,
        "name": session.name,
        "user_id": session.user_id,
        "messages": [message_to_wire(message) for message in messages],
        **timestamps(session.created_at, session.updated_at),
    }


def message_to_wire(message: Message) -> dict[str, Any]:
    """Return one message. Thoughts precede an answer, and each reference is that of its own answer."""
    shown: dict[str, Any] = {"role": message.role, "content": with_thoughts(message.content, message.thoughts)}
    if message.pair_id:
        shown["id"] = str(message.pair_id)
    if message.role == Message.Role.USER:
        return shown
    if message.created_at:
        shown["created_at"] = message.created_at.timestamp()
    if message.reference and message.reference.get("chunks"):
        shown["reference"] = [{name: chunk.get(name) for name in _SHORT_CHUNK} for chunk in message.reference["chunks"]]
    if message.interrupted:
        shown["interrupted"] = True
    return shown


def with_key_hint(text: str) -> str:
    """Return the text; if a provider says in it that it refused the key, with the place where keys are set."""
    lowered = text.lower()
    if "invalid key" not in lowered and "invalid api" not in lowered:
        return text
    return f"{text} Please set LLM API-Key in 'User Setting -> Model providers -> API-Key'"


def with_thoughts(answer: str, thoughts: str) -> str:
    return f"<think>{thoughts}</think>{answer}" if thoughts else answer


def reference_of_answer(answer: Answer, *, quote: bool) -> dict[str, Any]:
    """Return the reference of an answer: empty unless passages were shown and quoting is on, or rows were read."""
    if answer.from_rows:
        return {"chunks": passages_of_answer(answer), "doc_aggs": _documents(answer.retrieval)}
    if answer.grounded and not (quote and answer.retrieval.passages):
        return {}
    return reference_to_wire(answer.retrieval)


def reference_to_wire(retrieval: Retrieval) -> dict[str, Any]:
    """Return every passage, so that `[ID:n]` indexes the list, and the documents, most passages first."""
    return {
        "total": retrieval.total,
        "chunks": [passage_to_wire(passage) for passage in retrieval.passages],
        "doc_aggs": _documents(retrieval),
    }


def passages_of_answer(answer: Answer) -> list[dict[str, Any]]:
    """Return every passage of an answer; of a row only its document is known."""
    shown = [passage_to_wire(passage) for passage in answer.retrieval.passages]
    if not answer.from_rows:
        return shown
    return [{key: value if key in _OF_A_ROW else None for key, value in row.items()} for row in shown]


def _documents(retrieval: Retrieval) -> list[dict[str, Any]]:
    return [
        {"doc_name": item.document_name, "doc_id": item.document_id, "count": item.count}
        | ({"url": item.url} if item.url else {})
        for item in sorted(retrieval.documents, key=lambda item: -item.count)
    ]


def passage_to_wire(passage: Passage) -> dict[str, Any]:
    chunk = passage.chunk
    return {
        "id": chunk.id,
        "content": chunk.content,
        "document_id": chunk.document_id,
        "document_name": chunk.document_name,
        "dataset_id": chunk.dataset_id,
        "image_id": chunk.image_id,
        "positions": positions_to_wire(chunk),
        "url": passage.url or None,
        "similarity": passage.similarity,
        "vector_similarity": passage.vector_similarity,
        "term_similarity": passage.term_similarity,
        "doc_type": chunk.kind,
    }


def search_app_to_wire(app: SearchApp, *, with_key: bool = False) -> dict[str, Any]:
    """Return a search app. The key of its web searches is for whoever may change it: visitors of pages see the rest."""
    return {
        "id": app.pk,
        "avatar": app.avatar,
        "tenant_id": app.tenant_id,
        "name": app.name,
        "description": app.description,
        "created_by": app.tenant_id,
        "search_config": app.search_config if with_key else without_key(app.search_config),
        "update_time": milliseconds(app.updated_at),
    }


def stored_search_app_to_wire(app: SearchApp) -> dict[str, Any]:
    return {**search_app_to_wire(app, with_key=True), "status": "1", **timestamps(app.created_at, app.updated_at)}


def listed_search_app_to_wire(app: SearchApp, owner: User | None) -> dict[str, Any]:
    shown = {name: value for name, value in search_app_to_wire(app).items() if name != "search_config"}
    return {**shown, "status": "1", "create_time": milliseconds(app.created_at), **owner_to_wire(owner)}


def owner_to_wire(owner: User | None) -> dict[str, Any]:
    return {"nickname": owner.nickname if owner else "", "tenant_avatar": owner.avatar if owner else None}


def model_to_wire(assistant: Assistant) -> dict[str, Any]:
    """Return an assistant as the model that OpenAI's clients take it for."""
    return {
        "id": assistant.pk,
        "object": "model",
        "created": int(assistant.created_at.timestamp()),
        "owned_by": assistant.tenant_id,
        "name": assistant.name,
    }


def embeddings_to_wire(made: Embedded, *, model: str, as_base64: bool) -> dict[str, Any]:
    """Return vectors as OpenAI does: lists of numbers, or base64 of little-endian float32."""
    rows = [
        base64.b64encode(row.astype("<f4").tobytes()).decode() if as_base64 else row.tolist() for row in made.vectors
    ]
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)],
        "model": model,
        "usage": {"prompt_tokens": made.tokens, "total_tokens": made.tokens},
    }


def mind_map_to_wire(node: Node) -> dict[str, Any]:
    return {"id": node.text, "children": [mind_map_to_wire(child) for child in node.children]}


def trial_to_wire(retrieval: Retrieval) -> dict[str, Any]:
    """Return what a trial search found, by the contract's stored names."""
    return {
        "total": retrieval.total,
        "chunks": [_stored_passage(passage) for passage in retrieval.passages],
        "doc_aggs": _documents(retrieval),
        "labels": None,
    }


def _stored_passage(passage: Passage) -> dict[str, Any]:
    chunk = passage.chunk
    stored = {
        "chunk_id": chunk.id,
        "content_ltks": chunk.content.lower(),
        "content_with_weight": chunk.content,
        "doc_id": chunk.document_id,
        "docnm_kwd": chunk.document_name,
        "kb_id": chunk.dataset_id,
        "important_kwd": list(chunk.keywords),
        "image_id": chunk.image_id,
        "similarity": passage.similarity,
        "vector_similarity": passage.vector_similarity,
        "term_similarity": passage.term_similarity,
        "positions": positions_to_wire(chunk),
        "doc_type_kwd": chunk.kind,
        "mom_id": chunk.parent_id,
    }
    return stored if passage.highlight is None else stored | {"highlight": passage.highlight}
