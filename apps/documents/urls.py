from django.urls import path

from apps.documents.views.chunks import ChunkViewSet
from apps.documents.views.documents import DocumentViewSet
from apps.documents.views.retrieval import RetrievalViewSet

_DATASET = "api/v1/datasets/<str:dataset_id>"

urlpatterns = [
    path(
        f"{_DATASET}/documents",
        DocumentViewSet.as_view({"get": "list", "post": "upload", "delete": "destroy"}),
        name="documents",
    ),
    path(f"{_DATASET}/documents/<str:document_id>", DocumentViewSet.as_view({"get": "download"}), name="document"),
    path(f"{_DATASET}/chunks", DocumentViewSet.as_view({"post": "parse", "delete": "stop"}), name="parsing"),
    path(
        f"{_DATASET}/documents/<str:document_id>/chunks", ChunkViewSet.as_view({"get": "list"}), name="document-chunks"
    ),
    path("api/v1/retrieval", RetrievalViewSet.as_view({"post": "retrieve"}), name="retrieval"),
]
