"""Every route. What flows is in `streaming`; the rest is DRF, the admin and pages."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from apps.administration.views.own_password import change_own_password
from ragflow import metrics, openapi, pages, streaming, system

handler400 = "apps.core.http.handler400"
handler403 = "apps.core.http.handler403"
handler404 = "apps.core.http.handler404"
handler500 = "apps.core.http.handler500"

urlpatterns = [
    path("", pages.home, name="home"),
    *streaming.urlpatterns,
    path("", include("apps.accounts.urls")),
    path("", include("apps.datasets.urls")),
    path("", include("apps.documents.urls")),
    path("", include("apps.chats.urls")),
    path("", include("apps.agents.urls")),
    path("", include("apps.administration.urls")),
    path("v1/system/ping", pages.SystemViews.as_view({"get": "ping"})),
    path("v1/system/healthz", pages.SystemViews.as_view({"get": "healthz"}), name="healthz"),
    path("v1/system/version", system.InstallationViewSet.as_view({"get": "version"})),
    path("v1/system/status", system.InstallationViewSet.as_view({"get": "status"})),
    path("v1/system/config", system.ConfigViewSet.as_view({"get": "config"})),
    *openapi.urlpatterns,
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/password_change/", change_own_password),  # in place of the page that Django has there
    path("admin/", admin.site.urls),
    path("metrics", metrics.show),
    path("static/<path:path>", pages.static_file),
]
