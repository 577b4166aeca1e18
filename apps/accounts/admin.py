"""Where an operator manages members, tokens and models, and reads the audit log. `apps.administration` has the rest."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from apps.accounts import audit, services, system_settings
from apps.accounts.catalogue import providers
from apps.accounts.models import (
    APIToken,
    AuditEntry,
    IssuedSecret,
    LangfuseKeys,
    Membership,
    ShareToken,
    SystemSetting,
    Tenant,
    TenantModel,
    User,
)
from apps.accounts.services.models import problem_with
from apps.accounts.services.tokens import IssuedShareToken, IssuedToken, create_share_token, revoke_share_token
from apps.core.admin import (
    ChosenFilter,
    ReadOnly,
    ask_first,
    counted,
    entries_shown,
    is_confirmed,
    list_link,
    two_lines,
)
from apps.core.crypto import encrypt
from apps.core.principal import Scope
from ragflow.engine.registry import BUILTIN

admin.site.unregister(Group)
admin.site.enable_nav_sidebar = False  # a line of links takes less room; see templates/admin/base_site.html

GIVEN_ROLES = [(role.value, role.label) for role in Membership.Role if role != Membership.Role.OWNER]
MOST_CHECKED = 5  # models in one request of the browser: each may take a while


class Audited(admin.ModelAdmin):
    """Rows that have `updated_at`. What people change of them in these pages is in the audit log, too."""

    audited_as = ""  # as services call it; empty: by the model's name

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        """Of a row that exists, write what was edited: the rest may have changed since it was read."""
        if change:
            obj.save(update_fields=[*self.edited_columns(obj, form), "updated_at"])
        else:
            super().save_model(request, obj, form, change)

    def edited_columns(self, obj: Any, form: forms.ModelForm) -> list[str]:
        columns = {field.name for field in obj._meta.concrete_fields}  # noqa: SLF001
        return [name for name in form.changed_data if name in columns]

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._record("create", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._record("update", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._record("delete", obj)
        return super().log_deletions(request, queryset)

    def _record(self, action: str, obj: models.Model, message: Any = None) -> None:
        tenant_id = obj.pk if isinstance(obj, User | Tenant) else getattr(obj, "tenant_id", "")
        detail = {"changes": message} if message else {}  # Django names the fields, not their values
        kind = self.audited_as or str(obj._meta.verbose_name)  # noqa: SLF001
        audit.record(action, kind, id=str(obj.pk), name=str(obj), tenant_id=tenant_id, detail=detail)


@admin.register(Membership)
class MembershipAdmin(Audited):
    audited_as = "member"
    list_display = ("user", "tenant", "role", "is_pending", "created_at")
    list_select_related = ("user", "tenant")
    list_filter = ("role", "is_pending", ("tenant", ChosenFilter))
    search_fields = ("user__email", "tenant__name")
    autocomplete_fields = ("user", "tenant")
    fields = ("user", "tenant", "role", "is_pending", "invited_by", "created_at")
    readonly_fields = ("invited_by", "created_at")

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_choice_field(db_field, request, choices=GIVEN_ROLES, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return not _is_owner(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return not _is_owner(obj) and super().has_delete_permission(request, obj)


def _is_owner(member: Membership | None) -> bool:
    """A tenant has one owner from its beginning to its end."""
    return member is not None and member.role == Membership.Role.OWNER


class ModelForm(forms.ModelForm):
    """The key can be written and never read."""

    provider = forms.ChoiceField(choices=lambda: [(name, name) for name in providers() if name != BUILTIN])
    api_key = forms.CharField(
        required=False,
        label="API key",
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Empty: the stored one stays.",
    )

    class Meta:
        model = TenantModel
        fields = ("tenant", "provider", "name", "type", "base_url", "max_tokens", "is_enabled")

    def save(self, commit: bool = True) -> TenantModel:
        if self.cleaned_data["api_key"] or not self.instance.encrypted_key:
            self.instance.encrypted_key = encrypt(self.cleaned_data["api_key"])
        row: TenantModel = super().save(commit)
        return row


@admin.register(TenantModel)
class TenantModelAdmin(Audited):
    audited_as = "model"
    form = ModelForm
    list_display = ("name", "provider", "type", "tenant", "is_enabled", "used_tokens", "updated_at")
    list_select_related = ("tenant",)
    list_filter = ("type", "is_enabled", "provider", ("tenant", ChosenFilter))
    search_fields = ("name", "provider", "tenant__name", "tenant__members__email")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("used_tokens", "created_at", "updated_at")
    actions = ("ask",)

    def get_fields(self, request: HttpRequest, obj: TenantModel | None = None) -> tuple[str, ...]:
        chosen = (*ModelForm.Meta.fields[:5], "api_key", *ModelForm.Meta.fields[5:])
        return chosen if obj is None else (*chosen, *self.readonly_fields)

    def edited_columns(self, obj: TenantModel, form: forms.ModelForm) -> list[str]:
        edited = super().edited_columns(obj, form)
        return [*edited, "encrypted_key"] if "api_key" in form.changed_data else edited

    @admin.action(
        description=f"Ask the selected models (at most {MOST_CHECKED}) whether they answer", permissions=["change"]
    )
    def ask(self, request: HttpRequest, queryset: models.QuerySet[TenantModel]) -> None:
        for row in queryset[:MOST_CHECKED]:
            if problem := problem_with(row=row):
                self.message_user(request, f"The model {row} does not answer. {problem}", messages.ERROR)
            else:
                self.message_user(request, f"The model {row} answers.")


@admin.register(LangfuseKeys)
class LangfuseKeysAdmin(ReadOnly, Audited):
    """Set over the API, which tries them. Here they can be seen, but for the secret one, and removed."""

    list_display = ("tenant", "host", "public_key", "updated_at")
    list_select_related = ("tenant",)
    search_fields = ("tenant__name", "host", "public_key")
    fields = ("tenant", "host", "public_key", "created_at", "updated_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)


class IdListField(forms.CharField):
    """Ids, one a line. Empty means no restriction."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str] | None:  # type: ignore[override]
        ids = value if isinstance(value, list) else (super().to_python(value) or "").split()
        return ids or None


class TokenForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope],
        initial=[scope.value for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
    )
    dataset_ids = IdListField(required=False, help_text="Ids of the only datasets it reaches, one a line. Empty: all.")
    assistant_ids = IdListField(
        required=False, help_text="Ids of the only assistants it reaches, one a line. Empty: all."
    )

    class Meta:
        model = APIToken
        fields = (
            "tenant",
            "name",
            "scopes",
            "dataset_ids",
            "assistant_ids",
            "requests_per_minute",
            "expires_at",
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        narrowed = cleaned.get("dataset_ids") or cleaned.get("assistant_ids")
        if narrowed and Scope.ADMIN in cleaned.get("scopes", ()):
            raise forms.ValidationError("A token that is limited to datasets or assistants cannot have `admin`.")
        return cleaned


class SecretAdmin(Audited):
    """Tokens of either kind: issued and revoked here, never edited into something else, shown once."""

    always_readonly: tuple[str, ...] = ("prefix", "last_used_at", "revoked_at", "created_at")
    list_select_related: ClassVar[tuple[str, ...]] = ("tenant",)
    list_filter = (("tenant", ChosenFilter),)
    autocomplete_fields = ("tenant",)
    actions = ("revoke",)

    def issue(self, request: HttpRequest, chosen: dict[str, Any]) -> IssuedToken | IssuedShareToken:
        raise NotImplementedError

    def revoke_one(self, token: Any) -> None:
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        """Issue a new token and show its secret, this once."""
        if change:
            super().save_model(request, obj, form, change)
            return
        issued = self.issue(request, form.cleaned_data)
        obj.pk = issued.token.pk
        obj.refresh_from_db()
        text = "The token is <code>{}</code>. Copy it now: it is not shown again."
        messages.warning(request, format_html(text, issued.secret))

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        """Issuing a token has recorded it."""
        return admin.ModelAdmin.log_addition(self, request, obj, message)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.always_readonly if obj is None else ("tenant", *self.always_readonly)

    @admin.display(boolean=True, description="usable")
    def state(self, token: IssuedSecret) -> bool:
        return token.is_usable

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        if not is_confirmed(request):
            consequences = ["They stop working at once and for good. Clients that use them are refused from now on."]
            return ask_first(request, self, queryset, title="Revoke tokens?", consequences=consequences)
        tokens = list(queryset.filter(revoked_at=None))
        for token in tokens:
            self.revoke_one(token)
        self.message_user(request, f"{counted(len(tokens), 'token')} revoked.")
        return None


@admin.register(APIToken)
class APITokenAdmin(SecretAdmin):
    form = TokenForm
    audited_as = "token"
    list_display = ("named", "tenant", "state", "may", "expires_at", "last_used_at", "created_at")
    search_fields = ("prefix", "name", "tenant__name")
    always_readonly = (*SecretAdmin.always_readonly, "created_by")

    def get_fields(self, request: HttpRequest, obj: APIToken | None = None) -> tuple[str, ...]:
        chosen = TokenForm.Meta.fields
        return chosen if obj is None else ("prefix", *chosen, "last_used_at", "revoked_at", "created_at", "created_by")

    @admin.display(description="token", ordering="prefix")
    def named(self, token: APIToken) -> str:
        return two_lines(f"{token.prefix}…", token.name)

    @admin.display(description="scopes")
    def may(self, token: APIToken) -> str:
        return ", ".join(token.scopes)

    def issue(self, request: HttpRequest, chosen: dict[str, Any]) -> IssuedToken:
        assert isinstance(request.user, User)
        return services.create_token(created_by=request.user, **chosen)

    def revoke_one(self, token: APIToken) -> None:
        services.revoke_token(token=token)


@admin.register(ShareToken)
class ShareTokenAdmin(SecretAdmin):
    list_display = ("prefix", "tenant", "api_token", "state", "expires_at", "last_used_at", "created_at")
    list_select_related: ClassVar[tuple[str, ...]] = ("tenant", "api_token")
    search_fields = ("prefix", "tenant__name")
    always_readonly = (*SecretAdmin.always_readonly, "api_token")

    def get_fields(self, request: HttpRequest, obj: ShareToken | None = None) -> tuple[str, ...]:
        chosen = ("tenant", "expires_at")
        return chosen if obj is None else ("prefix", *chosen, "api_token", "last_used_at", "revoked_at", "created_at")

    def issue(self, request: HttpRequest, chosen: dict[str, Any]) -> IssuedShareToken:
        return create_share_token(**chosen)

    def revoke_one(self, token: ShareToken) -> None:
        revoke_share_token(token=token)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, admin.ModelAdmin):
    """To be read only."""

    list_display = ("at", "who", "action", "what", "tenant", "address")
    list_filter = ("action", "object_kind", "actor_kind", "at")
    search_fields = ("actor_name", "actor_id", "object_name", "object_id", "tenant_id", "address", "request_id")
    date_hierarchy = "at"
    list_per_page = 50
    show_full_result_count = False
    actions = None
    fields = (
        "at", ("actor_name", "actor_kind", "actor_id"), "action", ("object_kind", "object_name", "object_id"), "tenant",
        ("address", "request_id"), "entries",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[AuditEntry]:
        entries: models.QuerySet[AuditEntry] = super().get_queryset(request)
        names = Tenant.objects.filter(pk=models.OuterRef("tenant_id")).values("name")
        return entries.annotate(tenant_name=models.Subquery(names))

    @admin.display(ordering="tenant_id")
    def tenant(self, entry: Any) -> str:
        """The name of the tenant, if there still is one; a click shows what was done to its objects."""
        if not entry.tenant_id:
            return "-"
        return list_link("accounts.auditentry", entry.tenant_name or entry.tenant_id, tenant_id__exact=entry.tenant_id)

    @admin.display(description="details")
    def entries(self, entry: AuditEntry) -> str:
        return entries_shown(entry.detail)

    @admin.display(description="actor", ordering="actor_name")
    def who(self, entry: AuditEntry) -> str:
        return two_lines(entry.actor_name, entry.actor_kind) if entry.actor_name else entry.actor_kind

    @admin.display(description="object", ordering="object_kind")
    def what(self, entry: AuditEntry) -> str:
        several = entry.detail.get("count")
        kind = counted(several, entry.object_kind) if isinstance(several, int) else entry.object_kind
        return two_lines(f"{kind} {entry.object_name}".rstrip(), entry.object_id)


@admin.register(SystemSetting)
class SystemSettingAdmin(ReadOnly, admin.ModelAdmin):
    """What administrators have set through the admin API, which checks values."""

    list_display = ("name", "shown", "updated_at")
    fields = ("name", "shown", "updated_at")
    search_fields = ("name",)

    @admin.display(description="value")
    def shown(self, row: SystemSetting) -> str:
        return system_settings.MASK if row.encrypted_value else row.value
