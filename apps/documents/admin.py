"""Documents and their tasks for operators: what is running, what failed and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from apps.core.admin import (
    ChosenFilter,
    ReadOnly,
    ask_first,
    bytes_shown,
    counted,
    entries_shown,
    is_confirmed,
    state_shown,
    two_lines,
)
from apps.core.errors import RagflowError
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.documents.errors import FileNotFound
from apps.documents.models import Document, DocumentTable, File, FileLink, IngestTask, MetadataValue, Reembedding, Task
from apps.documents.services import deleting, file_deleting, parsing, reembedding
from ragflow.engine.errors import EngineError

_MOST_NAMED = 10  # refusals that are told one by one
_MOST_OF_A_MESSAGE = 160  # characters in a list


class DocumentTableInline(admin.StackedInline):
    model = DocumentTable
    fields = readonly_fields = ("row_count", "columns")
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DocumentTable]:
        return super().get_queryset(request).defer("rows")

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class IngestTaskInline(admin.TabularInline):
    model = IngestTask
    fields = readonly_fields = ("state", "stage", "attempt", "worker", "message", "created_at", "finished_at")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin):
    list_display = ("named", "place", "progress_shown", "chunk_count", "bytes", "chunk_method", "created_at")
    list_select_related = ("dataset__tenant",)
    list_filter = (
        *("state", "type", "chunk_method", "error_class"),
        *(("dataset", ChosenFilter), ("dataset__tenant", ChosenFilter)),
    )
    search_fields = ("name", "=id", "dataset__name")
    date_hierarchy = "created_at"
    list_per_page = 50
    actions = ("parse", "cancel")
    inlines = (
        IngestTaskInline,
        DocumentTableInline,
    )
    fieldsets = (
        (None, {"fields": (("name", "id"), "dataset", ("type", "bytes", "created_at"))}),
        (
            "Parsing",
            {"fields": ("progress_shown", "log", ("process_begin_at", "took"), "chunk_method", "options")},
        ),
        ("Content", {"fields": (("chunk_count", "token_count", "enabled"), "metadata")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # documents are uploaded

    def has_change_permission(self, request: HttpRequest, obj: Document | None = None) -> bool:
        return False  # a change has to reach the search index: the API does that

    def get_inlines(
        self, request: HttpRequest, obj: Document | None = None
    ) -> list[type[admin.options.InlineModelAdmin]]:
        has_table = obj is not None and DocumentTable.objects.filter(document=obj).exists()
        return [inline for inline in self.inlines if has_table or inline is not DocumentTableInline]

    def has_parse_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("documents.change_document")

    @admin.display(ordering="name", description="document")
    def named(self, document: Document) -> SafeString:
        return format_html('<span title="{}">{}</span>', document.name, Truncator(document.name).chars(60))

    @admin.display(ordering="dataset__name", description="dataset")
    def place(self, document: Document) -> SafeString:
        return two_lines(document.dataset, document.dataset.tenant)

    @admin.display(ordering="state", description="progress")
    def progress_shown(self, document: Document) -> SafeString:
        label = state_shown(document.get_state_display())
        if document.state == Document.State.RUNNING:
            bar = '{} <progress value="{}" max="1"></progress> {}&nbsp;%'
            return format_html(bar, label, document.progress, int(document.progress * 100))
        if document.state == Document.State.FAIL:
            sentence = document.progress_message.rpartition("[ERROR] ")[2]
            return two_lines(label, Truncator(sentence).chars(_MOST_OF_A_MESSAGE))
        return label

    @admin.display(ordering="size", description="size")
    def bytes(self, document: Document) -> str:
        return bytes_shown(document.size)

    @admin.display(description="log")
    def log(self, document: Document) -> SafeString:
        return format_html('<pre class="log">{}</pre>', document.progress_message)

    @admin.display(description="parser options")
    def options(self, document: Document) -> SafeString:
        return entries_shown(document.parser_config)

    @admin.display(description="metadata")
    def metadata(self, document: Document) -> SafeString:
        return entries_shown(document.meta_fields)

    @admin.display(description="it took")
    def took(self, document: Document) -> str:
        return f"{document.process_duration:.1f} s" if document.process_duration else "-"

    @admin.action(description="Parse the selected documents (again)", permissions=["parse"])
    def parse(self, request: HttpRequest, queryset: QuerySet[Document]) -> HttpResponse | None:
        chunks = queryset.aggregate(total=Sum("chunk_count"))["total"]
        if chunks and not is_confirmed(request):
            consequences = [
                f"{counted(chunks, 'chunk')} of these documents will be removed, also those added or changed by hand.",
                "Parsing makes new ones; until then searches find nothing of these documents.",
            ]
            return ask_first(request, self, queryset, title="Parse documents again?", consequences=consequences)
        self._each(request, queryset, lambda dataset, ids: parsing.start_parsing(dataset=dataset, ids=ids), "queued")
        return None

    @admin.action(description="Cancel parsing of the selected documents", permissions=["parse"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Document]) -> HttpResponse | None:
        if not is_confirmed(request):
            consequences = ["Work on them stops, and the chunks that running or failed ones have are removed."]
            return ask_first(request, self, queryset, title="Cancel parsing?", consequences=consequences)
        self._each(request, queryset, lambda dataset, ids: parsing.stop_parsing(dataset=dataset, ids=ids), "cancelled")
        return None

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Document],
        act: Callable[[KnowledgeBase, list[str]], object],
        done: str,
    ) -> None:
        count, refused = 0, []
        for document in queryset.select_related("dataset"):
            try:
                act(document.dataset, [document.pk])
                count += 1
            except (RagflowError, EngineError) as error:
                refused.append(f"{document}: {error}")
        for sentence in refused[:_MOST_NAMED]:
            self.message_user(request, sentence, messages.WARNING)
        if len(refused) > _MOST_NAMED:
            self.message_user(request, f"So it is with {len(refused) - _MOST_NAMED} more.", messages.WARNING)
        self.message_user(request, f"{counted(count, 'document')} {done}.")

    def get_deleted_objects(
        self, objs: Iterable[Document], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Describe what is about to go. Rows, chunks and files go together, so no other permission is asked for."""
        documents = list(objs)
        counts = {"documents": len(documents), "chunks": sum(document.chunk_count for document in documents)}
        return [str(document) for document in documents], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Document) -> None:
        self._delete(request, obj.dataset, [obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        by_dataset = defaultdict(list)
        for document in queryset:
            by_dataset[document.dataset].append(document.pk)
        for dataset, ids in by_dataset.items():
            self._delete(request, dataset, ids)

    def _delete(self, request: HttpRequest, dataset: KnowledgeBase, ids: list[str]) -> None:
        try:
            deleting.delete_documents(dataset=dataset, ids=ids)
        except EngineError as error:
            text = f"{dataset}: chunks of deleted documents are left, which the worker removes later. {error}"
            self.message_user(request, text, messages.WARNING)


@admin.register(MetadataValue)
class MetadataValueAdmin(ReadOnly, admin.ModelAdmin):
    """What filters find. It follows the documents' metadata, so it is shown and not changed here."""

    list_display = ("key", "value", "kind", "document", "dataset")
    list_select_related = ("document", "dataset")
    list_filter = ("kind",)
    search_fields = ("key", "value", "document__name", "=document__id")
    show_full_result_count = False


class TaskAdmin(ReadOnly, admin.ModelAdmin):
    """What workers have to do, and did."""

    date_hierarchy = "created_at"
    list_per_page = 50
    show_full_result_count = False
    work: tuple[Any, ...] = (
        ("Work", {"fields": (("attempt", "worker"), ("created_at", "finished_at", "took"), "lease_until")}),
        ("Result", {"fields": ("error_class", "message")}),
    )

    @admin.display(ordering="state", description="progress")
    def progress_shown(self, task: Task) -> SafeString:
        label = state_shown(task.state)
        if task.state == Task.State.RUNNING:
            bar = '{} <progress value="{}" max="1"></progress> {}'
            return format_html(bar, label, task.progress, task.stage)
        return two_lines(label, Truncator(task.message).chars(_MOST_OF_A_MESSAGE)) if task.message else label

    @admin.display(description="took", empty_value="-")
    def took(self, task: Task) -> str | None:
        """From being asked for to the end: waiting counts."""
        seconds = (task.finished_at - task.created_at).total_seconds() if task.finished_at else None
        return None if seconds is None else f"{seconds:,.1f} s"


@admin.register(IngestTask)
class IngestTaskAdmin(TaskAdmin):
    list_display = ("place", "progress_shown", "attempt", "worker", "created_at", "took")
    list_select_related = ("document__dataset",)
    list_filter = ("state", "error_class")
    search_fields = ("document__name", "=document__id", "=id")
    fieldsets = ((None, {"fields": ("id", "document", "state", "stage", "progress_shown")}), *TaskAdmin.work)

    @admin.display(ordering="document__name", description="document")
    def place(self, task: IngestTask) -> SafeString:
        return two_lines(Truncator(task.document.name).chars(60), task.document.dataset)


@admin.register(Reembedding)
class ReembeddingAdmin(TaskAdmin):
    list_display = ("place", "embedding_model", "progress_shown", "attempt", "worker", "created_at", "took")
    list_select_related = ("dataset__tenant",)
    list_filter = ("state", "embedding_model", "error_class", ("dataset", ChosenFilter))
    search_fields = ("dataset__name", "=dataset__id", "=id")
    actions = ("cancel",)
    fieldsets = (
        (None, {"fields": ("id", "dataset", "embedding_model", "state", "stage", "progress_shown")}),
        *TaskAdmin.work,
        ("Vectors", {"fields": (("old_space", "space"), "is_cleared")}),
    )

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("datasets.change_knowledgebase")

    @admin.display(ordering="dataset__name", description="dataset")
    def place(self, task: Reembedding) -> SafeString:
        return two_lines(task.dataset, task.dataset.tenant)

    @admin.action(description="Cancel the selected re-embeddings", permissions=["stop"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Reembedding]) -> None:
        active = queryset.filter(state__in=Reembedding.ACTIVE).select_related("dataset")
        stopped = sum(reembedding.stop_reembedding(dataset=task.dataset) for task in active)
        self.message_user(request, f"{counted(stopped, 're-embedding')} cancelled; their datasets are as they were.")


@admin.register(File)
class FileAdmin(admin.ModelAdmin):
    list_display = ("name", "tenant", "parent", "type", "bytes", "documents", "created_at")
    list_select_related = ("tenant", "parent")
    list_filter = ("type", ("tenant", ChosenFilter))
    search_fields = ("name", "=id", "tenant__name")
    date_hierarchy = "created_at"
    fields = ("id", "name", "tenant", "parent", "type", "location", "size", "created_by", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[File]:
        live: QuerySet[File] = super().get_queryset(request).filter(deleted_at__isnull=True)
        made = FileLink.objects.filter(file=OuterRef("pk"), document__deleted_at__isnull=True).order_by()
        counts = made.values("file").annotate(number=Count("pk")).values("number")
        return live.annotate(document_count=Coalesce(Subquery(counts), 0))  # only those of the page are counted

    @admin.display(ordering="size", description="size")
    def bytes(self, file: File) -> str:
        return "-" if file.is_folder else bytes_shown(file.size)

    @admin.display(ordering="document_count", description="documents made from it")
    def documents(self, file: File) -> str:
        return str(file.document_count)  # type: ignore[attr-defined]  # an annotation

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # files are uploaded

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # a tree stays one by its services

    def get_deleted_objects(
        self, objs: Iterable[File], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Describe what is about to go: entries with all below them, and the documents made from them."""
        files = list(objs)
        return [str(file) for file in files], {"files and folders": len(files)}, set(), []

    def has_delete_permission(self, request: HttpRequest, obj: File | None = None) -> bool:
        fixed = obj is not None and (obj.is_mirror or obj.parent_id is None)
        return not fixed and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: File) -> None:
        try:
            file_deleting.delete_files(principal=Principal(obj.tenant_id, obj.tenant_id), ids=[obj.pk])
        except FileNotFound:
            pass  # it lay in a folder that has just been deleted
        except RagflowError as error:
            self.message_user(request, f"{obj}: {error}", messages.WARNING)
        except EngineError as error:
            text = f"{obj}: chunks of documents made from it are left, which the worker removes later. {error}"
            self.message_user(request, text, messages.WARNING)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[File]) -> None:
        for file in queryset:
            self.delete_model(request, file)
