"""Where an operator looks after people, tenants and datasets: the pages that need more than one app."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.accounts.admin import GIVEN_ROLES, Audited
from apps.accounts.models import Membership, Tenant, User
from apps.accounts.services import create_tenant_for
from apps.accounts.services.sessions import end_session
from apps.administration import selectors
from apps.administration.forms import LoginForm, PasswordForm
from apps.administration.services import delete_user, is_last_administrator, reembed, retry_failed
from apps.core.admin import (
    ChosenFilter,
    ask_first,
    bytes_shown,
    counted,
    entries_shown,
    is_confirmed,
    list_link,
    two_lines,
)
from apps.core.errors import RagflowError
from apps.datasets.models import KnowledgeBase
from apps.datasets.services import hide_datasets, remove_hidden
from apps.documents.models import Document
from apps.documents.services.verifying import miscounted_in
from ragflow.engine.errors import EngineError

admin.site.login_form = LoginForm

RIGHTS = ("is_staff", "is_superuser", "user_permissions")
MOST_NAMED = 10  # differences that one message shows

Description = tuple[list[str], dict[str, int], set[str], list[str]]


class CreateUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "nickname")


class ChangeUserForm(UserChangeForm):
    def clean(self) -> None:
        super().clean()
        administers = all(self.cleaned_data.get(name, True) for name in ("is_active", "is_superuser"))
        if not administers and is_last_administrator(self.instance):
            raise forms.ValidationError("This is the only active superuser left, and somebody has to be one.")


@admin.register(User)
class UserAdmin(Audited, DjangoUserAdmin):
    form = ChangeUserForm
    add_form = CreateUserForm
    change_password_form = PasswordForm
    list_display = ("email", "nickname", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_email_proven", "is_staff", "is_superuser")
    search_fields = ("email", "nickname", "=id")
    ordering = ("email",)
    filter_horizontal = ("user_permissions",)
    readonly_fields = ("id", "last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("id", "email", "nickname", "password")}),
        ("Access", {"fields": ("is_active", "is_email_proven", "is_staff", "is_superuser")}),
        ("Rights of an operator who is no superuser", {"fields": ("user_permissions",), "classes": ("collapse",)}),
        ("Times", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "nickname", "usable_password", "password1", "password2")}),
    )
    actions = ("log_out",)

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """Give a new user the tenant that every user owns; end the login of one who is kept out."""
        if not obj.is_active:
            obj.session_digest = None
        if not change:
            obj.is_email_proven = True
        super().save_model(request, obj, form, change)
        if not change:
            create_tenant_for(user=obj)

    def edited_columns(self, obj: User, form: forms.ModelForm) -> list[str]:
        edited = super().edited_columns(obj, form)
        return edited if obj.is_active else [*edited, "session_digest"]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Rights are given by superusers alone, and nobody changes his own: one superuser is always left."""
        fixed: tuple[str, ...] = ()
        if obj is not None and obj.pk == request.user.pk:
            fixed = ("is_active", *RIGHTS)
        elif not _is_superuser(request):
            fixed = RIGHTS
        return (*self.readonly_fields, *fixed)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and obj.is_superuser and not _is_superuser(request)
        return not above and super().has_change_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Users are deleted one by one: everything of theirs goes with them."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    @admin.action(description="End the API logins of the selected users", permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        users = [user for user in queryset if self.has_change_permission(request, user)]
        for user in users:
            end_session(user=user)
        self.message_user(request, f"{counted(len(users), 'user')} logged out of the API. Their API tokens still work.")

    # -- deletion: the way of the admin API --

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        spared = obj is not None and (obj.is_active or obj.is_superuser)
        return not spared and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Iterable[User], request: HttpRequest) -> Description:
        """Describe what is about to go. Everything goes together, so no other permission is asked for."""
        users = list(objs)
        tenants = selectors.with_usage(Tenant.objects.filter(pk__in=[user.pk for user in users]))
        counts = {
            "users": len(users),
            "datasets": sum(tenant.datasets_total for tenant in tenants),  # type: ignore[attr-defined]
            "documents": sum(tenant.documents_total for tenant in tenants),  # type: ignore[attr-defined]
            "API tokens": sum(tenant.tokens_total for tenant in tenants),  # type: ignore[attr-defined]
        }
        return [str(user) for user in users], counts, set(), []

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Deleting a user records it."""
        return admin.ModelAdmin.log_deletions(self, request, queryset)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        try:
            delete_user(user=obj)
        except RagflowError as error:
            self.message_user(request, str(error), messages.ERROR)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        if User.objects.filter(pk=obj_id).exists():
            return HttpResponseRedirect(reverse("admin:accounts_user_change", args=[obj_id]))
        return super().response_delete(request, obj_display, obj_id)


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser


class MembershipInline(admin.TabularInline):
    model = Membership
    fk_name = "tenant"
    fields = ("user", "role", "is_pending", "invited_by")
    readonly_fields = ("invited_by",)
    extra = 0
    autocomplete_fields = ("user",)
    verbose_name_plural = "members beside the owner"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        members: QuerySet[Membership] = super().get_queryset(request).exclude(role=Membership.Role.OWNER)
        return members

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_choice_field(db_field, request, choices=GIVEN_ROLES, **kwargs)


@admin.register(Tenant)
class TenantAdmin(Audited):
    list_display = (
        "named", "people", "tokens", "datasets", "documents", "chunks", "stored", "indexed", "used", "created_at",
    )  # fmt: skip
    search_fields = ("name", "=id", "members__email")
    date_hierarchy = "created_at"
    readonly_fields = (
        "id", "owner", "created_at", "people", "tokens", "configured", "datasets", "documents", "chunks", "stored",
        "indexed", "used",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("id", "name", "owner", "created_at")}),
        ("Usage", {"fields": (("datasets", "documents", "chunks"), ("stored", "indexed", "used"))}),
        ("Access", {"fields": (("people", "tokens", "configured"),)}),
        ("Default models", {"fields": ("chat_model", "embedding_model", "rerank_model")}),
    )
    inlines = (MembershipInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return selectors.with_usage(super().get_queryset(request))

    @admin.display(ordering="name", description="tenant")
    def named(self, tenant: Any) -> SafeString:
        return two_lines(tenant.name, tenant.owner_email)

    @admin.display
    def owner(self, tenant: Any) -> SafeString:
        path = reverse("admin:accounts_user_change", args=[tenant.pk])
        return format_html('<a href="{}">{}</a>', path, tenant.owner_email)

    @admin.display(ordering="members_total", description="members")
    def people(self, tenant: Any) -> SafeString:
        return list_link(
            "accounts.membership", tenant.members_total, tenant__id__exact=tenant.pk, is_pending__exact="0"
        )

    @admin.display(ordering="tokens_total", description="API tokens")
    def tokens(self, tenant: Any) -> SafeString:
        return list_link("accounts.apitoken", tenant.tokens_total, tenant__id__exact=tenant.pk)

    @admin.display(description="models")
    def configured(self, tenant: Any) -> SafeString:
        return list_link("accounts.tenantmodel", "configured models", tenant__id__exact=tenant.pk)

    @admin.display(ordering="datasets_total")
    def datasets(self, tenant: Any) -> SafeString:
        return list_link("datasets.knowledgebase", tenant.datasets_total, tenant__id__exact=tenant.pk)

    @admin.display(ordering="documents_total")
    def documents(self, tenant: Any) -> SafeString:
        return list_link("documents.document", tenant.documents_total, dataset__tenant__id__exact=tenant.pk)

    @admin.display(ordering="chunks_total")
    def chunks(self, tenant: Any) -> str:
        return str(localize(tenant.chunks_total))

    @admin.display(ordering="stored_bytes", description="stored")
    def stored(self, tenant: Any) -> str:
        return bytes_shown(tenant.stored_bytes)

    @admin.display(ordering="indexed_tokens", description="indexed tokens")
    def indexed(self, tenant: Any) -> str:
        return str(localize(tenant.indexed_tokens))

    @admin.display(ordering="used_tokens", description="tokens used by models")
    def used(self, tenant: Any) -> str:
        return str(localize(tenant.used_tokens))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a tenant comes with its owner ...

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return False  # ... and goes with it


class ReembedForm(forms.Form):
    def __init__(self, data: Any, *, models: list[str]) -> None:
        super().__init__(data)
        self.fields["model"] = forms.ChoiceField(label="Embedding model", choices=[(name, name) for name in models])


@admin.register(KnowledgeBase)
class DatasetAdmin(Audited):
    list_display = ("named", "documents", "progress", "chunk_count", "stored", "cut", "permission", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("permission", "chunk_method", "embedding_model", ("tenant", ChosenFilter))
    search_fields = ("name", "=id", "tenant__name")
    date_hierarchy = "created_at"
    readonly_fields = (
        "id", "name", "tenant", "chunk_method", "options", "embedding_model", "reembedded", "documents",
        "progress", "stored", "chunk_count", "token_count", "created_at", "updated_at",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("id", "name", "tenant", "description", "permission", "language")}),
        ("Content", {"fields": (("documents", "progress"), ("chunk_count", "token_count"), "stored")}),
        ("Parsing", {"fields": (("embedding_model", "reembedded"), "chunk_method", "options")}),
        ("Retrieval", {"fields": ("pagerank", "similarity_threshold", "vector_similarity_weight")}),
        ("Times", {"fields": ("created_at", "updated_at")}),
    )
    actions = ("retry", "reembed", "verify")

    def get_queryset(self, request: HttpRequest) -> QuerySet[KnowledgeBase]:
        return selectors.with_progress(super().get_queryset(request).filter(deleted_at=None))

    @admin.display(ordering="name", description="dataset")
    def named(self, dataset: KnowledgeBase) -> SafeString:
        return two_lines(dataset.name, dataset.tenant.name)

    @admin.display(ordering="document_count")
    def documents(self, dataset: KnowledgeBase) -> SafeString:
        return list_link("documents.document", dataset.document_count, dataset__id__exact=dataset.pk)

    @admin.display(description="parsed")
    def progress(self, dataset: Any) -> SafeString:
        total = max(dataset.document_count, 1)
        bar = '<span class="nowrap"><progress value="{}" max="{}"></progress> {}</span>{}'
        others = [
            list_link("documents.document", f"{number} {word}", dataset__id__exact=dataset.pk, state__exact=state)
            for number, word, state in (
                (dataset.running_total, "running", Document.State.RUNNING),
                (dataset.failed_total, "failed", Document.State.FAIL),
            )
            if number
        ]
        below = format_html_join("", "<br>{}", ((other,) for other in others))
        return format_html(bar, dataset.done_total, total, localize(dataset.done_total), below)

    @admin.display(ordering="bytes_total", description="stored")
    def stored(self, dataset: Any) -> str:
        return bytes_shown(dataset.bytes_total)

    @admin.display(ordering="chunk_method", description="method, model")
    def cut(self, dataset: KnowledgeBase) -> SafeString:
        return two_lines(dataset.chunk_method, dataset.embedding_model)

    @admin.display(description="parser options")
    def options(self, dataset: KnowledgeBase) -> SafeString:
        return entries_shown(dataset.parser_config)

    @admin.display(description="re-embedding")
    def reembedded(self, dataset: KnowledgeBase) -> SafeString:
        newest = dataset.reembeddings.first()
        return list_link("documents.reembedding", newest.state if newest else "never", dataset__id__exact=dataset.pk)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a dataset belongs to the tenant whose client creates it

    @admin.action(description="Parse the failed documents of the selected datasets again", permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> HttpResponse | None:
        kept = selectors.chunks_of_failed(queryset)
        if kept and not is_confirmed(request):
            consequences = [f"{counted(kept, 'chunk')} of failed documents, added by hand, will be removed."]
            return ask_first(request, self, queryset, title="Parse failed documents again?", consequences=consequences)
        queued, refused = retry_failed(list(queryset))
        for sentence in refused[:MOST_NAMED]:
            self.message_user(request, sentence, messages.WARNING)
        self.message_user(request, f"{counted(queued, 'document')} queued, {len(refused)} refused.")
        return None

    @admin.action(description="Re-embed: give the selected datasets vectors of a model", permissions=["change"])
    def reembed(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> HttpResponse | None:
        form = ReembedForm(request.POST if is_confirmed(request) else None, models=selectors.common_models(queryset))
        if not form.is_valid():
            total = queryset.aggregate(chunks=Sum("chunk_count", default=0), tokens=Sum("token_count", default=0))
            consequences = [
                f"{counted(total['chunks'], 'chunk')} with {counted(total['tokens'], 'token')} are sent to the model.",
                "Searches use the vectors they have until all new ones are there; nothing else changes.",
                "Datasets that are searched together need one model.",
            ]
            title = "Give datasets new vectors?"
            return ask_first(request, self, queryset, title=title, consequences=consequences, form=form)
        started, refused = reembed(list(queryset), form.cleaned_data["model"])
        for sentence in refused[:MOST_NAMED]:
            self.message_user(request, sentence, messages.WARNING)
        self.message_user(request, f"{counted(started, 'dataset')} queued, {len(refused)} refused.")
        return None

    @admin.action(description="Verify: compare the selected datasets with the index", permissions=["view"])
    def verify(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> None:
        good = wrong = 0
        for dataset in queryset:
            try:
                found = [finding.sentence for finding in miscounted_in(dataset)]
            except EngineError as error:
                self.message_user(request, f"{dataset}: {error}", messages.ERROR)
                continue
            good, wrong = good + (not found), wrong + bool(found)
            for sentence in found[:MOST_NAMED]:
                self.message_user(request, sentence, messages.WARNING)
            if len(found) > MOST_NAMED:
                self.message_user(request, f"{dataset}: {len(found) - MOST_NAMED} more.", messages.WARNING)
        advice = f", {wrong} not; `manage.py verify --repair` corrects what is counted." if wrong else "."
        self.message_user(request, f"{counted(good, 'dataset')} in order{advice}")

    # -- deletion: the way of the API --

    def get_deleted_objects(self, objs: Iterable[KnowledgeBase], request: HttpRequest) -> Description:
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
        hide_datasets(datasets)
        remove_hidden(datasets)
