"""Making files searchable from the terminal, in this process: no server and no worker has to run.

Everything goes through the same services and task rows as an upload over HTTP. So a running worker never does the same
work twice, and what was interrupted is taken up again by the next run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connections

from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.documents import ingest
from apps.documents.file_types import type_of
from apps.documents.models import Document
from apps.documents.selectors import active_tasks, documents_of
from apps.documents.services.adding import add_documents
from apps.documents.services.deleting import delete_documents
from apps.documents.services.parsing import ring_again, start_parsing

BLOCK = 1024 * 1024
LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Source:
    name: str  # what the document is called: the path below the folder that was named
    path: Path


class Outcome(StrEnum):
    DONE = "made searchable"
    PRESENT = "already there"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    outcome: Outcome
    message: str = ""  # of a failure
    chunks: int = 0
    tokens: int = 0


class Failed(Exception):
    """A file was not taken. The message is a sentence."""


def sources(path: Path) -> Iterator[Source]:
    """Yield the file, or the files below the folder whose type can be parsed. Hidden ones are passed over."""
    if not path.is_dir():
        yield Source(path.name, path)
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and type_of(name) and file.is_file():
                yield Source(file.relative_to(path).as_posix(), file)


def ingest_all(
    *, principal: Principal, dataset: KnowledgeBase, files: Iterable[Source], replace: bool = False
) -> Iterator[Result]:
    """Make files searchable, several at a time, and yield what became of each as it happens.

    A document of the same name and content is left alone if it is searchable already. One of the same name and other
    content makes the file fail, or is deleted first when `replace` is set.
    """

    def work(source: Source) -> Result:
        try:
            return _ingest(principal, dataset, source, replace=replace)
        except Exception as error:  # noqa: BLE001 - one file's failure is reported and the others go on
            return Result(source.name, Outcome.FAILED, str(error) or type(error).__name__)
        finally:
            connections.close_all()

    pool = ThreadPoolExecutor(settings.WORKERS)
    try:
        for future in as_completed([pool.submit(work, source) for source in files]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ingest(principal: Principal, dataset: KnowledgeBase, source: Source, *, replace: bool) -> Result:
    document = documents_of(dataset).filter(name=source.name).first()
    if document is not None and not _same_content(document, source.path):
        if not replace:
            raise Failed("The dataset has other content under this name; --replace takes this file instead.")
        delete_documents(dataset=dataset, ids=[document.pk])
        document = None
    if document is None:
        document = _add(principal, dataset, source)
    elif document.state == Document.State.DONE:
        return Result(source.name, Outcome.PRESENT)
    return _parse(dataset, document)


def _same_content(document: Document, path: Path) -> bool:
    if document.size != path.stat().st_size:
        return False
    with default_storage.open(document.location) as kept, path.open("rb") as given:
        while block := given.read(BLOCK):
            if kept.read(BLOCK) != block:
                return False
    return True


def _add(principal: Principal, dataset: KnowledgeBase, source: Source) -> Document:
    with source.path.open("rb") as file:
        added = add_documents(principal=principal, dataset_id=dataset.pk, files=[File(file, source.name)])
    if added.refusals:
        raise Failed(added.refusals[0].removeprefix(f"{source.name}: "))
    return added.documents[0]


def _parse(dataset: KnowledgeBase, document: Document) -> Result:
    """Parse here, or wait for the worker that does; one that dies is replaced when its lease runs out."""
    if document.state != Document.State.RUNNING:
        start_parsing(dataset=dataset, ids=[document.pk])
    while True:
        for task in active_tasks([document.pk]):
            ingest.run(task.pk)
        document.refresh_from_db()
        if document.state != Document.State.RUNNING:
            break
        time.sleep(LOOK_SECONDS)
        ring_again()
    if document.state == Document.State.DONE:
        return Result(document.name, Outcome.DONE, "", document.chunk_count, document.token_count)
    raise Failed(document.progress_message.rpartition("[ERROR] ")[2] or "Parsing was cancelled.")
