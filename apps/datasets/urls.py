from django.urls import path

from apps.core.routes import web_routes
from apps.datasets.views import DatasetViewSet
from apps.datasets.web.views import WebDatasetViewSet

_WEB = {
    "create": {"post": "create"},
    "update": {"post": "update"},
    "list": {"post": "list"},
    "detail": {"get": "show"},
    "rm": {"post": "remove"},
    "update_metadata_setting": {"post": "describe_metadata"},
}

urlpatterns = [
    path(
        "api/v1/datasets",
        DatasetViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"}),
        name="datasets",
    ),
    path("api/v1/datasets/<str:dataset_id>", DatasetViewSet.as_view({"put": "update"}), name="dataset"),
    *web_routes("kb", WebDatasetViewSet, _WEB),
]
