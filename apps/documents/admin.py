"""Documents and their tasks for operators: what is running, what failed and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.errors import RagflowError
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.documents.errors import FileNotFound
from apps.documents.models import Document, DocumentTable, File, IngestTask, MetadataValue
from apps.documents.services import deleting, file_deleting, parsing


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
    list_display = (
        "name", "dataset", "owner", "state", "progress_bar", "chunk_count", "size", "problem", "created_at",
    )  # fmt: skip
    list_select_related = ("dataset__tenant",)
    list_filter = ("state", "type", "chunk_method", "error_class")
    search_fields = ("name", "=id", "dataset__name")
    date_hierarchy = "created_at"
    actions = ("parse", "cancel")
    inlines = (
        IngestTaskInline,
        DocumentTableInline,
    )
    fieldsets = (
        (None, {"fields": ("id", "name", "dataset", "type", "size", "created_at")}),
        ("Parsing", {"fields": ("chunk_method", "parser_config", "state", "progress_bar", "progress_message")}),
        ("Content", {"fields": ("chunk_count", "token_count", "meta_fields", "enabled")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # documents are uploaded

    def has_change_permission(self, request: HttpRequest, obj: Document | None = None) -> bool:
        return False  # a change has to reach the search index: the API does that

    @admin.display(ordering="dataset__tenant__name")
    def owner(self, document: Document) -> str:
        return document.dataset.tenant.name

    @admin.display(ordering="progress", description="progress")
    def progress_bar(self, document: Document) -> SafeString:
        bar = '<progress value="{}" max="1" style="width: 4rem"></progress>'
        return format_html(bar, max(document.progress, 0))

    @admin.display(ordering="error_class")
    def problem(self, document: Document) -> str:
        _, found, sentence = document.progress_message.rpartition("[ERROR] ")
        return sentence if found and document.state == Document.State.FAIL else ""

    @admin.action(description="Parse the selected documents (again)", permissions=["delete"])
    def parse(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        self._each(request, queryset, lambda dataset, ids: parsing.start_parsing(dataset=dataset, ids=ids), "queued")

    @admin.action(description="Cancel parsing of the selected documents", permissions=["delete"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        self._each(request, queryset, lambda dataset, ids: parsing.stop_parsing(dataset=dataset, ids=ids), "cancelled")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Document],
        act: Callable[[KnowledgeBase, list[str]], object],
        done: str,
    ) -> None:
        count = 0
        for document in queryset:
            try:
                act(document.dataset, [document.pk])
                count += 1
            except RagflowError as error:
                self.message_user(request, f"{document}: {error}", messages.WARNING)
        self.message_user(request, f"{count} documents {done}.")

    def get_deleted_objects(
        self, objs: Iterable[Document], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Describe what is about to go. Rows, chunks and files go together, so no other permission is asked for."""
        documents = list(objs)
        counts = {"documents": len(documents), "chunks": sum(document.chunk_count for document in documents)}
        return [str(document) for document in documents], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Document) -> None:
        deleting.delete_documents(dataset=obj.dataset, ids=[obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        by_dataset = defaultdict(list)
        for document in queryset:
            by_dataset[document.dataset].append(document.pk)
        for dataset, ids in by_dataset.items():
            deleting.delete_documents(dataset=dataset, ids=ids)


@admin.register(MetadataValue)
class MetadataValueAdmin(admin.ModelAdmin):
    """What filters find. It follows the documents' metadata, so it is shown and not changed here."""

    list_display = ("key", "value", "kind", "document", "dataset")
    list_select_related = ("document", "dataset")
    list_filter = ("kind",)
    search_fields = ("key", "value", "document__name", "=document__id")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(IngestTask)
class IngestTaskAdmin(admin.ModelAdmin):
    list_display = (
        "document", "dataset", "state", "stage", "attempt", "worker", "lease_until", "message", "created_at",
        "finished_at",
    )  # fmt: skip
    list_select_related = ("document__dataset",)
    list_filter = ("state", "error_class")
    search_fields = ("document__name", "=document__id", "=id")
    date_hierarchy = "created_at"

    @admin.display(ordering="document__dataset__name")
    def dataset(self, task: IngestTask) -> str:
        return task.document.dataset.name

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(File)
class FileAdmin(admin.ModelAdmin):
    list_display = ("name", "tenant", "parent", "type", "size", "documents", "created_at")
    list_select_related = ("tenant", "parent")
    list_filter = ("type", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "=id", "tenant__name")
    date_hierarchy = "created_at"
    fields = ("id", "name", "tenant", "parent", "type", "location", "size", "created_by", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[File]:
        live: QuerySet[File] = super().get_queryset(request).filter(deleted_at__isnull=True)
        return live.annotate(document_count=Count("links", filter=Q(links__document__deleted_at__isnull=True)))

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
        file_deleting.delete_files(principal=Principal(obj.tenant_id, obj.tenant_id), ids=[obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[File]) -> None:
        for file in queryset:
            try:
                self.delete_model(request, file)
            except FileNotFound:
                continue  # it lay in a folder that has just been deleted
            except RagflowError as error:
                self.message_user(request, f"{file}: {error}", messages.WARNING)
