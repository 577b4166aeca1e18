"""Changing documents. The row is the truth: it is written first, and then the chunks in the store follow it.

A worker that is parsing the document goes on with the configuration it began with. Names and availability of what it
stores are those of the row (see `apps.documents.ingest`); another chunk method takes the task away from it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction

from apps.core.errors import BadValue, Conflict, DataError, InvalidArgument, NotFound
from apps.core.names import split_suffix
from apps.core.validation import integer
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.parser_config import deep_merge, defaults_of
from apps.documents.models import Document
from apps.documents.selectors import active_tasks, documents_of
from apps.documents.services.auditing import note_document
from apps.documents.services.metadata import set_metadata
from apps.documents.services.parsing import cancel_tasks, forget_chunks, remove_chunks
from apps.documents.services.rows import locked
from apps.documents.services.storing import problem_with

CHUNK_METHODS = frozenset(
    {
        *("naive", "manual", "qa", "table", "paper", "book", "laws", "presentation", "picture", "one"),
        *("knowledge_graph", "email", "tag"),
    }
)
"""What the contract lets a document be cut by; a dataset's list differs a little."""

_PRESENTATIONS = (".ppt", ".pptx", ".pages")


def update_document(*, document: Document, changes: Mapping[str, Any]) -> Document:
    """Apply what a client sent, in the contract's order, and return the document as it is then.

    Each step counts at once: one that fails leaves those before it done. Raises NotFound, DataError, Conflict,
    InvalidArgument or BadValue, each with a sentence about the value, and StoreError when chunks cannot follow now;
    the same request sent again then makes them follow.
    """
    _refuse_counters(document, changes)
    done: list[str] = []
    try:
        for field in _apply(document, changes):
            done.append(field)  # noqa: PERF402 -- a step that fails must leave those before it known
    finally:
        if done:
            note_document("update", document, fields=done)
    current = Document.objects.filter(pk=document.pk, deleted_at__isnull=True).first()
    if current is None:
        raise _gone()
    return current


def _apply(document: Document, changes: Mapping[str, Any]) -> Iterator[str]:
    """Take the steps of an update, and yield the field of each when it is done."""
    if "meta_fields" in changes:
        _replace_metadata(document, changes["meta_fields"])
        yield "meta_fields"
    if "name" in changes:
        _check_name(document, changes["name"])
        rename_document(document=document, name=changes["name"])
        yield "name"
    given = changes.get("parser_config")
    if given:
        configure(document=document, given=given)
        yield "parser_config"
    if "chunk_method" in changes:
        change_chunk_method(document=document, method=changes["chunk_method"], keep_config=bool(given))
        yield "chunk_method"
    if "enabled" in changes:
        set_enabled(document=document, enabled=bool(integer("enabled", changes["enabled"])))
        yield "enabled"


def _refuse_counters(document: Document, changes: Mapping[str, Any]) -> None:
    """A client may send back what it was shown, but not change it."""
    for field in ("chunk_count", "token_count", "progress"):
        if field in changes and changes[field] != getattr(document, field):
            raise DataError(f"Can't change `{field}`.")


def _replace_metadata(document: Document, fields: Any) -> None:
    if not isinstance(fields, dict):
        raise DataError("meta_fields must be a dictionary")
    set_metadata(document=document, fields=fields)


# -- name ----------------------------------------------------------------------------------------------------------


def _check_name(document: Document, name: Any) -> None:
    if not isinstance(name, str):
        error = AttributeError(f"'{type(name).__name__}' object has no attribute 'encode'")
        raise BadValue(f"`name` must be text, not {name!r}.", reference=repr(error))
    if name == document.name:
        return
    if problem := problem_with(name):
        raise InvalidArgument(problem)
    if split_suffix(name.lower())[1] != split_suffix(document.name.lower())[1]:
        raise InvalidArgument("The extension of file can't be changed")


def rename_document(*, document: Document, name: str) -> None:
    """Give a document and its chunks a new name, which the caller has checked.

    A name that it has already only makes the chunks follow once more, in case they could not before. Raises Conflict
    when another document of the dataset has exactly this name, in this letter case.
    """
    with transaction.atomic():
        row = _locked_with_tasks(document)
        # Uploads choose names under the same lock.
        dataset = KnowledgeBase.objects.select_for_update(of=("self",)).get(pk=row.dataset_id)
        if documents_of(dataset).filter(name=name).exclude(pk=row.pk).exists():
            raise Conflict("Duplicated document name in the same dataset.")
        row.name = name
        row.save(update_fields=["name", "name_key", "updated_at"])
    _spread_name(row)


def _spread_name(document: Document) -> None:
    """Bring the chunks in line. Of two that rename at once, the one that ends last writes the name that holds."""
    spread: str | None = None
    name: str | None = document.name
    while name is not None and name != spread:
        doc_store().rename_document(document.dataset_id, document.pk, name)
        spread = name
        name = Document.objects.filter(pk=document.pk).values_list("name", flat=True).first()


# -- how it is cut -------------------------------------------------------------------------------------------------


@transaction.atomic
def configure(*, document: Document, given: Any) -> None:
    """Merge into a document's parser configuration. It counts from the next parsing on. Raises BadValue."""
    if not isinstance(given, dict):
        raise BadValue(f"`parser_config` must be an object, not {given!r}.")
    row = _locked(document)
    row.parser_config = _merged(row.parser_config, given)
    row.save(update_fields=["parser_config", "updated_at"])


def change_chunk_method(*, document: Document, method: Any, keep_config: bool) -> None:
    """Set how a document is cut, and merge that method's configuration unless the document's is to be kept.

    A method that differs takes the document back to where it was before parsing: a running task is cancelled and the
    chunks are removed. Raises DataError or BadValue for a method that cannot be.
    """
    _check_method(document, method)
    with transaction.atomic():
        row = _locked(document)
        differs = method != row.chunk_method
        if differs:
            cancel_tasks([row])
            forget_chunks(row)
            row.chunk_method = method
            row.state = Document.State.UNSTART
            row.progress = 0
            row.progress_message = row.error_class = ""
        if not keep_config:
            row.parser_config = _merged(row.parser_config, defaults_of(method))
        row.save()
        moment = time.time()
    if differs:
        remove_chunks(row, older_than=moment)


def _check_method(document: Document, method: Any) -> None:
    if isinstance(method, list | dict):
        error = TypeError(f"unhashable type: '{type(method).__name__}'")
        raise BadValue(f"`chunk_method` must be text, not {method!r}.", reference=repr(error))
    if method not in CHUNK_METHODS:
        raise DataError(f"`chunk_method` {method} doesn't exist")
    if document.type == Document.Type.VISUAL or document.name.endswith(_PRESENTATIONS):
        raise DataError("Not supported yet!")


def _merged(current: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with another merged in. One that does not speak of `raptor` takes it away."""
    _require_mergeable(current, given, "parser_config")
    merged = deep_merge(current, given)
    if not given.get("raptor"):
        merged.pop("raptor", None)
    return merged


def _require_mergeable(current: Mapping[str, Any], given: Mapping[str, Any], path: str) -> None:
    """An object goes into an object; what else stands in its place would be lost without a word."""
    for key, value in given.items():
        if key not in current or not isinstance(value, dict):
            continue
        if not isinstance(current[key], dict):
            raise BadValue(
                f"`{path}.{key}` is {current[key]!r} now, so an object cannot be merged into it.",
                reference=repr(AssertionError()),
            )
        _require_mergeable(current[key], value, f"{path}.{key}")


# -- availability --------------------------------------------------------------------------------------------------


def set_enabled(*, document: Document, enabled: bool) -> None:
    """Decide whether retrieval considers a document: all its chunks, also those that are stored later."""
    with transaction.atomic():
        row = _locked_with_tasks(document)
        row.enabled = enabled
        row.save(update_fields=["enabled", "updated_at"])
    store, place = doc_store(), (row.dataset_id, row.pk)
    store.set_available(*place, enabled)
    # Most was done without keeping others waiting. What they changed meanwhile is little, and follows under the lock.
    with transaction.atomic():
        store.set_available(*place, _locked(document).enabled)


def _locked(document: Document) -> Document:
    row = locked(document)
    if row is None:
        raise _gone()
    return row


def _locked_with_tasks(document: Document) -> Document:
    """Lock the document, and wait for a slice of chunks that a worker is storing: later ones see the new row."""
    row = _locked(document)
    list(active_tasks([row.pk]).select_for_update(of=("self",)))
    return row


def _gone() -> NotFound:
    return NotFound("The dataset doesn't own the document.")
