"""The page on which an operator changes his own password: the administration's, with another form."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy

from apps.administration.forms import OwnPasswordForm


def _change(request: HttpRequest) -> HttpResponseBase:
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse_lazy("admin:password_change_done"),
        extra_context=admin.site.each_context(request),
    )
    return view(request)


change_own_password = admin.site.admin_view(_change)
