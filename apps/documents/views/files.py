"""The file manager over HTTP: a tree of folders and files per tenant, and documents made from them."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.bodies import read_object
from apps.core.errors import LacksPermission
from apps.core.rest import ResourceViewSet, caller, http_request, web_success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.core.uploads import accept_files
from apps.core.wire_profile import profile
from apps.documents.errors import FileNotFound, FileRefused, NothingStored
from apps.documents.file_schemas import created_type, listing_of, optional_text, required_ids, required_text
from apps.documents.file_tree import attachment_location, file_of, folder_of, list_folder, parent_of, path_to_root
from apps.documents.file_wire import (
    content_type_of,
    content_type_of_attachment,
    file_to_wire,
    link_to_wire,
    listed_to_wire,
    new_file_to_wire,
)
from apps.documents.models import File
from apps.documents.services import converting, file_deleting, files
from apps.documents.views.downloads import attachment

_UPLOAD = {
    "multipart/form-data": {
        "type": "object",
        "properties": {
            "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "parent_id": TEXT,
        },
        "required": ["file"],
    }
}
_FILE_ID = [OpenApiParameter("file_id", str, required=True)]
_BYTES = {(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The file as it was sent.")}


@extend_schema(tags=["files"])
class FileViewSet(ResourceViewSet):
    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        accept_files(request)
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if getattr(caller(request), "is_narrowed", False):  # an OPTIONS request has no principal
            raise LacksPermission(
                "This API token is restricted to some datasets or chats; files belong to the whole tenant.", data=None
            )

    @extend_schema(summary="Upload files", request=_UPLOAD)
    def upload(self, request: Request) -> Response:
        form = http_request(request)
        sent = form.FILES.getlist("file")
        if not sent:
            raise FileRefused("No file part!")
        stored = files.upload_files(principal=caller(request), parent_id=form.POST.get("parent_id", ""), files=sent)
        return web_success([new_file_to_wire(file) for file in stored])

    @extend_schema(
        summary="Create a folder",
        request=json_body("name", name=TEXT, parent_id=TEXT, type={"enum": ["FOLDER", "VIRTUAL"]}),
    )
    def create(self, request: Request) -> Response:
        payload = read_object(http_request(request))
        file = files.create_file(
            principal=caller(request),
            parent_id=optional_text(payload, "parent_id"),
            name=required_text(payload, "name"),
            type_=created_type(payload),
        )
        return web_success(new_file_to_wire(file))

    @extend_schema(
        summary="List a folder",
        parameters=[
            OpenApiParameter("parent_id", str, description="The folder; without it the root."),
            OpenApiParameter("keywords", str, description="Part of the name."),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
            OpenApiParameter("orderby", str),
            OpenApiParameter("desc", bool),
        ],
    )
    def list(self, request: Request) -> Response:
        principal, query = caller(request), request.query_params
        root = files.root_of(principal)
        folder = folder_of(principal, query["parent_id"]) if query.get("parent_id") else root
        if folder is None:
            raise FileNotFound("Folder not found!")
        total, listed = list_folder(principal, folder, listing_of(query))
        return web_success(
            {
                "total": total,
                "files": [listed_to_wire(entry) for entry in listed],
                "parent_folder": file_to_wire(parent_of(folder)),
            }
        )

    @extend_schema(summary="Show the root folder")
    def root(self, request: Request) -> Response:
        return web_success({"root_folder": file_to_wire(files.root_of(caller(request)))})

    @extend_schema(summary="Show the folder of a file", parameters=_FILE_ID)
    def parent(self, request: Request) -> Response:
        return web_success({"parent_folder": file_to_wire(parent_of(_asked_for(request)))})

    @extend_schema(summary="Show the path from a file to the root", parameters=_FILE_ID)
    def ancestors(self, request: Request) -> Response:
        path = path_to_root(_asked_for(request))
        return web_success({"parent_folders": [file_to_wire(file) for file in path]})

    @extend_schema(summary="Delete files and folders", request=json_body("file_ids", file_ids=TEXTS))
    def remove(self, request: Request) -> Response:
        payload = read_object(http_request(request))
        file_deleting.delete_files(principal=caller(request), ids=required_ids(payload, "file_ids"))
        return web_success(True)

    @extend_schema(summary="Rename a file or folder", request=json_body("file_id", "name", file_id=TEXT, name=TEXT))
    def rename(self, request: Request) -> Response:
        payload = read_object(http_request(request))
        files.rename_file(
            principal=caller(request), file_id=required_text(payload, "file_id"), name=required_text(payload, "name")
        )
        return web_success(True)

    @extend_schema(
        summary="Move files and folders",
        request=json_body("src_file_ids", "dest_file_id", src_file_ids=TEXTS, dest_file_id=TEXT),
    )
    def move(self, request: Request) -> Response:
        payload = read_object(http_request(request))
        files.move_files(
            principal=caller(request),
            ids=required_ids(payload, "src_file_ids"),
            destination_id=required_text(payload, "dest_file_id"),
        )
        return web_success(True)

    @extend_schema(
        summary="Make documents of datasets from files",
        request=json_body("file_ids", "kb_ids", file_ids=TEXTS, kb_ids=TEXTS),
    )
    def convert(self, request: Request) -> Response:
        payload = read_object(http_request(request))
        links = converting.convert_files(
            principal=caller(request),
            ids=required_ids(payload, "file_ids"),
            dataset_ids=required_ids(payload, "kb_ids"),
        )
        return web_success([link_to_wire(link) for link in links])

    @extend_schema(summary="Download a file", responses=_BYTES)
    def download(self, request: Request, file_id: str) -> FileResponse:
        file = file_of(caller(request), file_id)
        if file is None:
            raise FileNotFound("Document not found!")
        response = attachment(file.location, name=file.name, content_type=content_type_of(file))
        if response is None:
            raise NothingStored(
                "Nothing is stored for this entry.", reference=_NO_DOCUMENT if not file.location else _NO_OBJECT
            )
        return _opening_as_configured(response)

    @extend_schema(
        summary="Download what an agent produced",
        parameters=[OpenApiParameter("ext", str, description="Decides the content type.", default="markdown")],
        responses=_BYTES,
    )
    def agent_attachment(self, request: Request, attachment_id: str) -> FileResponse:
        location = attachment_location(caller(request), attachment_id)
        extension = request.query_params.get("ext", "markdown")
        name, content_type = f"{attachment_id}.{extension}", content_type_of_attachment(extension)
        response = attachment(location or "", name=name, content_type=content_type)
        if response is None:
            raise NothingStored("There is no such attachment.", reference=_NO_OBJECT)
        return _opening_as_configured(response)


_NO_DOCUMENT = "AssertionError('please specify doc_id')"
_NO_OBJECT = "TypeError('The response value returned by the view function cannot be None')"


def _opening_as_configured(response: FileResponse) -> FileResponse:
    """The reference leaves it to the browser whether to show a file or to save it."""
    if profile().files_open_in_browsers:
        del response["Content-Disposition"]
    return response


def _asked_for(request: Request) -> File:
    """Return the entry named in the query string."""
    principal = caller(request)
    files.root_of(principal)  # entries of the mirror lie below it, so it has to be there
    file = file_of(principal, request.query_params.get("file_id", ""))
    if file is None:
        raise FileNotFound("Folder not found!")
    return file
