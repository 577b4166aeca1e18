from django.urls import path

from apps.datasets.views import DatasetViewSet

urlpatterns = [
    path(
        "api/v1/datasets",
        DatasetViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"}),
        name="datasets",
    ),
    path("api/v1/datasets/<str:dataset_id>", DatasetViewSet.as_view({"put": "update"}), name="dataset"),
]
