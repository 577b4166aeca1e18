"""Passwords in the administration pages: Django's own forms, which store and record what the API does."""

from __future__ import annotations

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.forms import AdminPasswordChangeForm as DjangoOwnPasswordForm
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.forms import AdminPasswordChangeForm

from apps.accounts import audit, throttles
from apps.accounts.models import User
from apps.accounts.services.accounts import store_password
from apps.accounts.services.sessions import note_refused_login
from apps.core.errors import TooManyRequests


class LoginForm(AdminAuthenticationForm):
    """Who logs in with a browser. The right password does not suffice: the pages are for operators."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        assert isinstance(user, User)
        try:
            super().confirm_login_allowed(user)
        except forms.ValidationError:
            note_refused_login(user.email, "no operator")
            raise
        audit.acts_as_user(user)
        audit.record("login", "user", id=user.pk, name=user.email, tenant_id=user.pk, detail={"to": "browser"})


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """Somebody's password, from an operator who may change the user."""

    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit=False)
        store_password(user=user)
        return user


class OwnPasswordForm(DjangoOwnPasswordForm):
    """One's own password. Wrong ones count together with those at the API."""

    def clean_old_password(self) -> str:
        try:
            with throttles.failures_count((throttles.PASSWORD_OF_LOGIN, self.user.pk)):
                current: str = super().clean_old_password()
        except TooManyRequests as error:
            raise forms.ValidationError(error.message) from None
        return current

    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit=False)
        store_password(user=user)
        return user
