from django.urls import path

from apps.datasets.views import DatasetViewSet
from apps.datasets.web.views import DatasetViewSet as WebDatasetViewSet

urlpatterns = [
    path(
        "api/v1/datasets",
        DatasetViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"}),
        name="datasets",
    ),
    path("api/v1/datasets/<str:dataset_id>", DatasetViewSet.as_view({"put": "update"}), name="dataset"),
    path("v1/kb/create", WebDatasetViewSet.as_view({"post": "create"}), name="web-kb-create"),
    path("v1/kb/update", WebDatasetViewSet.as_view({"post": "update"}), name="web-kb-update"),
    path("v1/kb/list", WebDatasetViewSet.as_view({"post": "list"}), name="web-kb-list"),
    path("v1/kb/detail", WebDatasetViewSet.as_view({"get": "show"}), name="web-kb-detail"),
    path("v1/kb/rm", WebDatasetViewSet.as_view({"post": "remove"}), name="web-kb-rm"),
    path(
        "v1/kb/update_metadata_setting",
        WebDatasetViewSet.as_view({"post": "describe_metadata"}),
        name="web-kb-metadata",
    ),
]
