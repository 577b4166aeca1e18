"""Datasets for operators. What is deleted here goes the way that the API's deletions go."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.datasets import services
from apps.datasets.models import KnowledgeBase


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(admin.ModelAdmin):
    list_display = (
        "name", "tenant", "document_count", "chunk_count", "token_count", "embedding_model", "chunk_method",
        "permission", "created_at",
    )  # fmt: skip
    list_select_related = ("tenant",)
    list_filter = ("permission", "chunk_method", "embedding_model")
    search_fields = ("name", "=id", "tenant__name")
    date_hierarchy = "created_at"
    readonly_fields = (
        "id", "name", "tenant", "chunk_method", "parser_config", "embedding_model", "document_count", "chunk_count",
        "token_count", "created_at", "updated_at",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("id", "name", "tenant", "description", "permission", "language")}),
        ("Parsing", {"fields": ("embedding_model", "chunk_method", "parser_config")}),
        ("Retrieval", {"fields": ("pagerank", "similarity_threshold", "vector_similarity_weight")}),
        ("Content", {"fields": ("document_count", "chunk_count", "token_count", "created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[KnowledgeBase]:
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a dataset belongs to the tenant whose client creates it

    def get_deleted_objects(
        self, objs: Iterable[KnowledgeBase], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Describe what is about to go. Rows, chunks and files go together, so no other permission is asked for."""
        datasets = list(objs)
        counts = {
            "datasets": len(datasets),
            "documents": sum(dataset.document_count for dataset in datasets),
            "chunks": sum(dataset.chunk_count for dataset in datasets),
        }
        return [str(dataset) for dataset in datasets], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: KnowledgeBase) -> None:
        self._delete([obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> None:
        self._delete(list(queryset))

    def _delete(self, datasets: list[KnowledgeBase]) -> None:
        services.hide_datasets(datasets)
        for dataset in datasets:
            services.purge_dataset(dataset)
