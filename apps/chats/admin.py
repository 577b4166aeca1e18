"""Where an operator looks at assistants, conversations and search apps."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from apps.accounts.admin import Audited
from apps.chats.models import Assistant, AssistantDataset, Message, SearchApp, Session
from apps.core.admin import ChosenFilter


class AssistantDatasetInline(admin.TabularInline):
    model = AssistantDataset
    extra = 0
    raw_id_fields = ("dataset",)


class LiveFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "live"), ("deleted", "deleted")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Assistant]) -> models.QuerySet[Assistant]:
        return queryset.filter(deleted_at__isnull=self.value() == "live") if self.value() else queryset


@admin.register(Assistant)
class AssistantAdmin(Audited):
    audited_as = "chat"
    list_display = ("name", "tenant", "chat_model", "sessions_count", "is_live", "created_at")
    list_select_related = ("tenant",)
    list_filter = (LiveFilter, ("tenant", ChosenFilter))
    search_fields = ("name", "id", "tenant__name")
    readonly_fields = ("id", "tenant", "deleted_at", "created_at", "updated_at")
    inlines = (AssistantDatasetInline,)
    fieldsets = (
        (None, {"fields": ("id", "tenant", "name", "description", "language")}),
        ("Model", {"fields": ("chat_model", "generation_options", "rerank_model")}),
        ("Prompt", {"fields": ("stored_prompt", "metadata_filter")}),
        ("Search", {"fields": ("similarity_threshold", "vector_similarity_weight", "top_n", "top_k")}),
        ("Times", {"fields": ("created_at", "updated_at", "deleted_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Assistant]:
        assistants: models.QuerySet[Assistant] = super().get_queryset(request)
        return assistants.annotate(_sessions=models.Count("sessions"))

    @admin.display(ordering="_sessions", description="sessions")
    def sessions_count(self, assistant: Assistant) -> int:
        return assistant._sessions  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001

    @admin.display(boolean=True, description="live")
    def is_live(self, assistant: Assistant) -> bool:
        return assistant.deleted_at is None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # an assistant needs its tenant's models and datasets: it is created over the API


class ReadOnly:
    """What was said is looked at, not edited."""

    def has_add_permission(self, *_args: Any) -> bool:
        return False

    def has_change_permission(self, *_args: Any) -> bool:
        return False


class MessageInline(ReadOnly, admin.TabularInline):
    model = Message
    fields = ("role", "content", "interrupted", "created_at")
    can_delete = False
    show_change_link = False


@admin.register(Session)
class SessionAdmin(ReadOnly, Audited):
    list_display = ("name", "assistant", "user_id", "is_embedded", "created_at", "updated_at")
    list_select_related = ("assistant",)
    list_filter = ("is_embedded", ("assistant__tenant", ChosenFilter))
    search_fields = ("name", "id", "user_id", "assistant__name")
    fields = ("id", "assistant", "name", "user_id", "is_embedded", "created_at", "updated_at")
    inlines = (MessageInline,)


@admin.register(SearchApp)
class SearchAppAdmin(Audited):
    list_display = ("name", "tenant", "created_at", "updated_at")
    list_select_related = ("tenant",)
    list_filter = (("tenant", ChosenFilter),)
    search_fields = ("name", "id", "description", "tenant__name")
    readonly_fields = ("id", "tenant", "created_at", "updated_at")
    fields = ("id", "tenant", "name", "description", "stored_config", "created_at", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # it belongs to a tenant, and is created over the API
