from django.urls import path

from apps.core.routes import web_routes
from apps.documents.views.chunks import ChunkViewSet
from apps.documents.views.dify import DifyViewSet
from apps.documents.views.documents import DocumentViewSet
from apps.documents.views.files import FileViewSet
from apps.documents.views.metadata import MetadataViewSet
from apps.documents.views.retrieval import RetrievalViewSet
from apps.documents.web.chunks import WebChunkViewSet
from apps.documents.web.documents import WebDocumentViewSet

_DATASET = "api/v1/datasets/<str:dataset_id>"
_FILE = "api/v1/file"

_WEB_DOCUMENTS = {
    "upload": {"post": "upload"},
    "create": {"post": "create"},
    "list": {"post": "list"},
    "filter": {"post": "filter"},
    "infos": {"post": "infos"},
    "run": {"post": "run"},
    "rm": {"post": "remove"},
    "change_status": {"post": "change_status"},
    "rename": {"post": "rename"},
    "set_meta": {"post": "set_meta"},
    "update_metadata_setting": {"post": "describe_metadata"},
}
_WEB_CHUNKS = {
    "create": {"post": "create"},
    "list": {"post": "list"},
    "get": {"get": "show"},
    "set": {"post": "update"},
    "rm": {"post": "remove"},
    "switch": {"post": "switch"},
}

urlpatterns = [
    path(
        f"{_DATASET}/documents",
        DocumentViewSet.as_view({"get": "list", "post": "upload", "delete": "destroy"}),
        name="documents",
    ),
    path(
        f"{_DATASET}/documents/<str:document_id>",
        DocumentViewSet.as_view({"get": "download", "put": "update"}),
        name="document",
    ),
    path(f"{_DATASET}/chunks", DocumentViewSet.as_view({"post": "parse", "delete": "stop"}), name="parsing"),
    path(
        f"{_DATASET}/documents/<str:document_id>/chunks",
        ChunkViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"}),
        name="document-chunks",
    ),
    path(
        f"{_DATASET}/documents/<str:document_id>/chunks/<str:chunk_id>",
        ChunkViewSet.as_view({"put": "update"}),
        name="chunk",
    ),
    path(f"{_DATASET}/metadata/summary", MetadataViewSet.as_view({"get": "summary"}), name="metadata-summary"),
    path(f"{_DATASET}/metadata/update", MetadataViewSet.as_view({"post": "update"}), name="metadata-update"),
    path("api/v1/retrieval", RetrievalViewSet.as_view({"post": "retrieve"}), name="retrieval"),
    path("api/v1/dify/retrieval", DifyViewSet.as_view({"post": "retrieve"}), name="dify-retrieval"),
    path(f"{_FILE}/upload", FileViewSet.as_view({"post": "upload"}), name="file-upload"),
    path(f"{_FILE}/create", FileViewSet.as_view({"post": "create"}), name="file-create"),
    path(f"{_FILE}/list", FileViewSet.as_view({"get": "list"}), name="file-list"),
    path(f"{_FILE}/root_folder", FileViewSet.as_view({"get": "root"}), name="file-root"),
    path(f"{_FILE}/parent_folder", FileViewSet.as_view({"get": "parent"}), name="file-parent"),
    path(f"{_FILE}/all_parent_folder", FileViewSet.as_view({"get": "ancestors"}), name="file-ancestors"),
    path(f"{_FILE}/rm", FileViewSet.as_view({"post": "remove"}), name="file-rm"),
    path(f"{_FILE}/rename", FileViewSet.as_view({"post": "rename"}), name="file-rename"),
    path(f"{_FILE}/mv", FileViewSet.as_view({"post": "move"}), name="file-mv"),
    path(f"{_FILE}/convert", FileViewSet.as_view({"post": "convert"}), name="file-convert"),
    path(f"{_FILE}/get/<str:file_id>", FileViewSet.as_view({"get": "download"}), name="file-get"),
    path(
        f"{_FILE}/download/<str:attachment_id>",
        FileViewSet.as_view({"get": "agent_attachment"}),
        name="file-attachment",
    ),
    *web_routes("document", WebDocumentViewSet, _WEB_DOCUMENTS),
    *web_routes("chunk", WebChunkViewSet, _WEB_CHUNKS),
]
