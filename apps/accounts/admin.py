"""Where an operator manages people, tenants and tokens."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from apps.accounts import services
from apps.accounts.models import APIToken, Membership, Tenant, User

admin.site.unregister(Group)


class CreateUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "nickname")


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    add_form = CreateUserForm
    list_display = ("email", "nickname", "is_active", "is_staff", "last_login", "created_at")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "nickname")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("id", "last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("id", "email", "nickname", "password")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Times", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "nickname", "usable_password", "password1", "password2")}),
    )

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """Give a new user the tenant that every user owns."""
        super().save_model(request, obj, form, change)
        if not change:
            services.create_tenant_for(user=obj)


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):
    list_display = ("name", "id", "datasets", "members_count", "chat_model", "embedding_model", "created_at")
    search_fields = ("name", "id", "members__email")
    readonly_fields = ("id", "created_at")
    fields = ("id", "name", "chat_model", "embedding_model", "rerank_model", "created_at")
    inlines = (MembershipInline,)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Tenant]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                _datasets=models.Count("datasets", distinct=True), _members=models.Count("memberships", distinct=True)
            )
        )

    @admin.display(ordering="_datasets")
    def datasets(self, tenant: Tenant) -> int:
        return tenant._datasets  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001

    @admin.display(ordering="_members", description="members")
    def members_count(self, tenant: Tenant) -> int:
        return tenant._members  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a tenant comes with its owner


@admin.register(APIToken)
class APITokenAdmin(admin.ModelAdmin):
    list_display = ("prefix", "name", "tenant", "state", "expires_at", "last_used_at", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("tenant",)
    search_fields = ("prefix", "name", "tenant__name")
    autocomplete_fields = ("tenant",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: APIToken | None = None) -> tuple[str, ...]:
        fields = ("tenant", "name", "expires_at")
        return fields if obj is None else ("prefix", *fields, "last_used_at", "revoked_at", "created_at", "created_by")

    def get_readonly_fields(self, request: HttpRequest, obj: APIToken | None = None) -> tuple[str, ...]:
        always = ("prefix", "last_used_at", "revoked_at", "created_at", "created_by")
        return always if obj is None else ("tenant", *always)

    @admin.display(boolean=True, description="usable")
    def state(self, token: APIToken) -> bool:
        return token.is_usable

    def save_model(self, request: HttpRequest, obj: APIToken, form: forms.ModelForm, change: bool) -> None:
        """Issue a new token and show its secret, this once."""
        if change:
            super().save_model(request, obj, form, change)
            return
        issued = services.create_token(
            tenant=obj.tenant, name=obj.name, created_by=request.user, expires_at=obj.expires_at
        )
        obj.pk = issued.token.pk
        obj.prefix = issued.token.prefix
        obj.digest = issued.token.digest
        obj._state.adding = False  # noqa: SLF001
        messages.warning(
            request,
            format_html("The token is <code>{}</code>. Copy it now: it is not shown again.", issued.secret),
        )

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[APIToken]) -> HttpResponse | None:
        for token in queryset:
            services.revoke_token(token=token)
        self.message_user(request, "The selected tokens no longer work.")
        return None
