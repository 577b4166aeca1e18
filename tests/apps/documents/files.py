"""A client of the file manager, for tests."""

from __future__ import annotations

from typing import Any

from tests.apps.conftest import API, BOUNDARY, form

FILE = "/api/v1/file"


class Files:
    def __init__(self, api: API) -> None:
        self.api = api

    def get(self, what: str) -> dict[str, Any]:
        return self.api.call("GET", f"{FILE}/{what}")

    def post(self, what: str, body: Any) -> dict[str, Any]:
        return self.api.call("POST", f"{FILE}/{what}", body)

    def send(self, content: bytes) -> dict[str, Any]:
        return self.api.send("POST", f"{FILE}/upload", content, f"multipart/form-data; boundary={BOUNDARY}")

    def upload(self, *files: tuple[str, bytes], parent: str = "") -> list[dict[str, Any]]:
        answer = self.send(
            form(("parent_id", None, parent.encode()), *(("file", name, content) for name, content in files))
        )
        assert answer["code"] == 0, answer
        return answer["data"]

    def put(self, name: str, content: bytes = b"content", parent: str = "") -> str:
        return self.upload((name, content), parent=parent)[0]["id"]

    def folder(self, name: str, parent: str = "") -> str:
        answer = self.post("create", {"name": name, "parent_id": parent, "type": "FOLDER"})
        assert answer["code"] == 0, answer
        return answer["data"]["id"]

    def root(self) -> str:
        return self.get("root_folder")["data"]["root_folder"]["id"]

    def list(self, parent: str = "", **query: Any) -> list[dict[str, Any]]:
        text = "&".join(f"{name}={value}" for name, value in ({"parent_id": parent, "page_size": 100} | query).items())
        answer = self.get(f"list?{text}")
        assert answer["code"] == 0, answer
        return answer["data"]["files"]

    def names(self, parent: str = "", **query: Any) -> list[str]:
        """The names of a folder's entries, sorted, without the mirror of the datasets."""
        return sorted(file["name"] for file in self.list(parent, **query) if file["name"] != ".knowledgebase")

    def mirror(self) -> str:
        return next(file["id"] for file in self.list() if file["name"] == ".knowledgebase")

    def path(self, file_id: str) -> list[str]:
        return [file["name"] for file in self.get(f"all_parent_folder?file_id={file_id}")["data"]["parent_folders"]]

    def content(self, file_id: str) -> bytes:
        response = self.api.get(f"{FILE}/get/{file_id}")
        assert response.status_code == 200
        return b"".join(response.streaming_content)

    def convert(self, files: list[str], datasets: list[str]) -> list[dict[str, str]]:
        answer = self.post("convert", {"file_ids": files, "kb_ids": datasets})
        assert answer["code"] == 0, answer
        return answer["data"]
