"""Where an operator looks at assistants, conversations and search apps."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.accounts.admin import Audited
from apps.chats.models import Assistant, AssistantDataset, Message, SearchApp, Session
from apps.core.admin import ChosenFilter, entries_shown


class AssistantDatasetInline(admin.TabularInline):
    model = AssistantDataset
    extra = 0
    raw_id_fields = ("dataset",)


class AssistantForm(forms.ModelForm):
    similarity_threshold = forms.FloatField(min_value=0, max_value=1)
    vector_similarity_weight = forms.FloatField(min_value=0, max_value=1)
    top_n = forms.IntegerField(min_value=1, help_text="Passages in the prompt.")
    top_k = forms.IntegerField(min_value=1, help_text="Nearest vectors considered.")


class LiveFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "live"), ("deleted", "deleted")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Assistant]) -> models.QuerySet[Assistant]:
        return queryset.filter(deleted_at__isnull=self.value() == "live") if self.value() else queryset


@admin.register(Assistant)
class AssistantAdmin(Audited):
    """Prompt and options are objects of many entries, which the API checks when it takes them. Here they are shown."""

    audited_as = "chat"
    form = AssistantForm
    list_display = ("name", "tenant", "chat_model", "sessions_count", "is_live", "created_at")
    list_select_related = ("tenant",)
    list_filter = (LiveFilter, ("tenant", ChosenFilter))
    search_fields = ("name", "id", "tenant__name")
    readonly_fields = ("id", "tenant", "options", "prompt", "conditions", "deleted_at", "created_at", "updated_at")
    inlines = (AssistantDatasetInline,)
    fieldsets = (
        (None, {"fields": ("id", "tenant", "name", "description", "language")}),
        ("Model", {"fields": ("chat_model", "options", "rerank_model")}),
        ("Prompt", {"fields": ("prompt", "conditions")}),
        ("Search", {"fields": ("similarity_threshold", "vector_similarity_weight", "top_n", "top_k")}),
        ("Times", {"fields": ("created_at", "updated_at", "deleted_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Assistant]:
        assistants: models.QuerySet[Assistant] = super().get_queryset(request)
        return assistants.annotate(_sessions=models.Count("sessions"))

    @admin.display(ordering="_sessions", description="sessions")
    def sessions_count(self, assistant: Assistant) -> int:
        return assistant._sessions  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001

    @admin.display(description="generation options")
    def options(self, assistant: Assistant) -> SafeString:
        return entries_shown(assistant.generation_options)

    @admin.display
    def prompt(self, assistant: Assistant) -> SafeString:
        return entries_shown(assistant.stored_prompt)

    @admin.display(description="metadata filter")
    def conditions(self, assistant: Assistant) -> SafeString:
        return entries_shown(assistant.metadata_filter)

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
    readonly_fields = ("id", "tenant", "configuration", "created_at", "updated_at")
    fields = ("id", "tenant", "name", "description", "configuration", "created_at", "updated_at")

    @admin.display(description="search configuration")
    def configuration(self, app: SearchApp) -> SafeString:
        return entries_shown(app.stored_config)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # it belongs to a tenant, and is created over the API
