"""Metadata that a chat model reads from a document while it is parsed, where its `parser_config` asks for that.

    {"enable_metadata": true, "metadata": [{"key": "author", "description": "Who wrote it", "enum": []}]}

`metadata` may also be a JSON schema, whose properties are the fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asgiref.sync import async_to_sync

from apps.accounts.language_models import chat_model_for
from apps.core.errors import RagflowError
from apps.datasets.engine import doc_store
from apps.documents.models import Document
from apps.documents.services.metadata import merge_metadata
from ragflow.engine.errors import EngineError
from ragflow.engine.generation.metadata import MetadataField, extract_metadata
from ragflow.engine.tokens import count_tokens

MOST_TOKENS = 4000
"""Of a document's beginning, which is where it says what it is."""

_MOST_CHUNKS = 50


def extract(document: Document) -> str:
    """Add what a model finds in a parsed document to its metadata.

    Return a sentence for the progress text, empty where nothing was wanted. A failure is that sentence, never an error.
    """
    fields = list(fields_of(document.parser_config))
    if not fields:
        return ""
    try:
        model = chat_model_for(document.dataset.tenant)
        if not model.can_instruct:
            return f"No metadata was extracted: the chat model {model.name} follows no instructions."
        text = _beginning(document, min(MOST_TOKENS, model.context_tokens // 2))
        found = async_to_sync(extract_metadata)(model, text, fields) if text else {}
    except (EngineError, RagflowError) as error:
        return f"No metadata was extracted: {error}"
    merge_metadata(document=document, found=found)
    return f"Metadata extracted: {', '.join(found) or 'none'}."


def fields_of(config: Mapping[str, Any]) -> Iterator[MetadataField]:
    """Yield the fields that a parser configuration asks for; entries without a name are passed over."""
    definition = config.get("metadata") if config.get("enable_metadata") else None
    if isinstance(definition, dict):
        properties = definition.get("properties")
        entries = properties.items() if isinstance(properties, dict) else ()
        definition = [{**entry, "key": key} for key, entry in entries if isinstance(entry, dict)]
    for entry in definition if isinstance(definition, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("key"), str) and entry["key"].strip():
            items = entry.get("items")  # of a list, in a JSON schema
            choices = entry.get("enum") or (items.get("enum") if isinstance(items, dict) else None)
            yield MetadataField(
                key=entry["key"].strip(),
                description=str(entry.get("description") or ""),
                choices=tuple(str(choice) for choice in choices) if isinstance(choices, list) else (),
            )


def _beginning(document: Document, tokens: int) -> str:
    page = doc_store().list_chunks(document.dataset_id, document.pk, offset=0, limit=_MOST_CHUNKS)
    texts: list[str] = []
    for chunk in page.chunks:
        tokens -= count_tokens(chunk.content)
        if texts and tokens < 0:
            break
        texts.append(chunk.content)
    return "\n\n".join(texts)
