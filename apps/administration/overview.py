"""The state of the installation on one screen: what the administration pages begin with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from apps.accounts.language_models import registry
from apps.administration.parts import Part, parts, states
from apps.core.admin import bytes_shown, counted, list_link
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, IngestTask, Reembedding
from ragflow.housekeeping import GONE_AFTER
from ragflow.models import Worker

LITTLE_SPACE = 1024**3
PARTS = {
    "meta_data": "Database",
    "retrieval": "Search index",
    "file_store": "Files",
    "message_queue": "Message broker",
}

NAMES = {
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
    "embedded": "embedded, in the data folder",
    "elasticsearch": "Elasticsearch",
    "file": "a folder",
    "s3": "S3",
    "database": "a table in the database",
    "redis": "Redis",
}

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """`is_well` is None for what is only counted."""

    name: str
    shown: str | SafeString
    is_well: bool | None = None


def rows() -> Iterator[Row]:
    """Return what runs here and whether it answers, then what there is to do. Slow parts are waited for."""
    yield from _parts()
    yield _workers()
    yield _disk()
    yield Row("Models", f"{registry().default_chat_name}, {registry().default_embedding_name}")
    yield _datasets()
    yield _documents()
    yield _waiting()
    yield from _reembeddings()


def _parts() -> Iterator[Row]:
    shown = [part for part in parts() if part.type in PARTS]
    found = states(shown)
    for part in shown:
        state = found[part.id]
        yield Row(PARTS[part.type], _placed(part) if state.is_alive else str(state.message), state.is_alive)


def _placed(part: Part) -> str:
    name = NAMES[part.name]
    return f"{name} at {part.host}" if part.host else name


def _workers() -> Row:
    threads = list(Worker.objects.filter(seen_at__gt=timezone.now() - GONE_AFTER).values_list("threads", flat=True))
    if not threads:
        return Row("Workers", "none has been seen within a minute, so nothing is parsed", is_well=False)
    return Row("Workers", f"{len(threads)}, for {counted(sum(threads), 'document')} at a time", is_well=True)


def _disk() -> Row:
    free = shutil.disk_usage(settings.DATA_DIR).free
    return Row("Disk", f"{bytes_shown(free)} free", free > LITTLE_SPACE)


def _datasets() -> Row:
    live = KnowledgeBase.objects.filter(deleted_at=None).order_by()
    sums = live.aggregate(datasets=Count("pk"), chunks=Sum("chunk_count"))
    link = list_link("datasets.knowledgebase", counted(sums["datasets"], "dataset"))
    return Row("Content", format_html_join(", ", "{}", [(link,), (counted(sums["chunks"] or 0, "chunk"),)]))


def _documents() -> Row:
    live = Document.objects.filter(deleted_at=None).order_by()
    found: Counts = dict(live.values_list("state").annotate(Count("pk")))
    shown = [(state, state.label) for state in Document.State]
    return Row("Documents", _linked("documents.document", shown, found))


def _waiting() -> Row:
    """Show the tasks that somebody waits for, and those that were set aside."""
    tasks = IngestTask.objects.order_by()
    shown = [(state, state.label.lower()) for state in (*IngestTask.ACTIVE, IngestTask.State.QUARANTINED)]
    found: Counts = dict(tasks.filter(state__in=dict(shown)).values_list("state").annotate(Count("pk")))
    oldest = tasks.filter(state=IngestTask.State.PENDING).aggregate(Min("created_at"))["created_at__min"]
    links = [(_linked("documents.ingesttask", shown, found),)]
    if oldest:
        links.append((f"waiting for {timesince(oldest)}",))
    return Row("Tasks", format_html_join(", ", "{}", links))


def _reembeddings() -> Iterator[Row]:
    """Show re-embeddings that go on. Whether an earlier one failed is for the list of them."""
    tasks = Reembedding.objects.order_by().filter(state__in=Reembedding.ACTIVE)
    if found := dict(tasks.values_list("state").annotate(Count("pk"))):
        shown = [(state, state.label.lower()) for state in Reembedding.ACTIVE]
        yield Row("Re-embeddings", _linked("documents.reembedding", shown, found))


def _linked(model: str, shown: Sequence[tuple[str, str]], found: Counts) -> str | SafeString:
    links = [
        (word, list_link(model, f"{localize(found[state])} {word}", state__exact=state))
        for state, word in shown
        if state in found
    ]
    return format_html_join(", ", '<span class="state {}">{}</span>', links) or "none"
