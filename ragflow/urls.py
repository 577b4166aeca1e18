"""Every route. What flows is in `streaming`; the rest is DRF, the admin and pages."""

from pathlib import Path

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from ragflow import pages, streaming

handler400 = "apps.core.http.handler400"
handler403 = "apps.core.http.handler403"
handler404 = "apps.core.http.handler404"
handler500 = "apps.core.http.handler500"

_apps = [
    name
    for name in ("datasets", "documents", "chats")
    if (Path(__file__).parent.parent / f"apps/{name}/urls.py").exists()
]

urlpatterns = [
    path("", pages.home, name="home"),
    *streaming.urlpatterns,
    *(path("", include(f"apps.{name}.urls")) for name in _apps),
    path("v1/system/ping", pages.SystemViews.as_view({"get": "ping"})),
    path("v1/system/healthz", pages.SystemViews.as_view({"get": "healthz"})),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    path("openapi.json", SpectacularAPIView.as_view()),
    path("docs", RedirectView.as_view(pattern_name="docs")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("static/<path:path>", pages.static_file),
]
