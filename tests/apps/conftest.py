"""What tests of the apps share: tenants with their clients, a fast embedding model, an index and files of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client

from apps.accounts import language_models, services
from apps.accounts.models import Tenant
from apps.core.principal import Principal
from apps.datasets import services as datasets
from apps.datasets.engine import doc_store
from apps.documents import ingest
from apps.documents.models import IngestTask
from ragflow.engine.docstore.base import DocStore
from ragflow.engine.registry import HASHING, ModelSettings

_numbers = count(1)


BOUNDARY = "----boundary"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """Return a multipart body of (field, file name, content); without a file name the part is a text field.

    Names go onto the wire as HTTP libraries write them: quotes and line breaks percent-encoded, all else as it is.
    """
    body = bytearray()
    for field, name, content in parts:
        disposition = f'form-data; name="{field}"'
        if name is not None:
            quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
            disposition += f'; filename="{quoted}"'
        body += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
    return bytes(body) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture(autouse=True)
def still_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the windows of limits from ending in the middle of a test."""
    now = time.time()
    monkeypatch.setattr("apps.accounts.throttles.time", lambda: now)


class API(Client):
    """A client of one tenant. Bodies are sent as JSON, as the contract's clients do with every request.

    Without a token no `Authorization` header is sent.
    """

    def __init__(self, token: str | None, tenant: Tenant | None = None) -> None:
        super().__init__(headers={} if token is None else {"Authorization": f"Bearer {token}"})
        self.tenant = tenant
        self.principal = Principal(tenant.pk, tenant.pk) if tenant else None

    def call(self, method: str, path: str, body: Any = None, **extra: Any) -> dict[str, Any]:
        """Send a request and return the answer's object, with its HTTP status as `status` added."""
        return self.send(method, path, b"" if body is None else orjson.dumps(body), **extra)

    def send(
        self, method: str, path: str, content: bytes, type_: str = "application/json", **extra: Any
    ) -> dict[str, Any]:
        """The same with a body of any kind."""
        response = self.generic(method, path, content, content_type=type_, CONTENT_TYPE=type_, **extra)
        return orjson.loads(response.content) | {"status": response.status_code}

    def upload(self, dataset_id: str, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
        answer = self.send_form(dataset_id, form(*(("file", name, content) for name, content in files)))
        assert answer["code"] == 0, answer
        return answer["data"]

    def send_form(self, dataset_id: str, content: bytes) -> dict[str, Any]:
        path = f"/api/v1/datasets/{dataset_id}/documents"
        return self.send("POST", path, content, f"multipart/form-data; boundary={BOUNDARY}")

    def create_dataset(self, name: str = "set", **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", "/api/v1/datasets", {"name": name} | fields)
        assert answer["code"] == 0, answer
        return answer["data"]


@pytest.fixture(params=["standard", "exact"])
def profile(request: pytest.FixtureRequest, settings: Any) -> str:
    """Run the test once per wire profile."""
    settings.WIRE_PROFILE = request.param
    return request.param


@pytest.fixture
def index(settings: Any) -> Iterator[None]:
    """Give every test that runs on Elasticsearch an empty index: what others left in one would count in its scores."""
    if not settings.ELASTICSEARCH_URL:
        yield
        return
    from tests.tools.elasticsearch_index import remove_index, with_own_index  # loads the client, which takes a while

    own = settings.ELASTICSEARCH_URL = with_own_index(settings.ELASTICSEARCH_URL)
    yield
    remove_index(own)


@pytest.fixture(autouse=True)
def engine(index: None, settings: Any, tmp_path: Path) -> Iterator[None]:
    """Give every test a hashing embedder, an empty index and an empty file store."""
    settings.MODELS = ModelSettings(embedding_model=HASHING)
    settings.INDEX_FILE = tmp_path / "index.sqlite3"
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "files", "base_url": None},
        }
    }
    language_models.registry.reset()
    doc_store.reset()
    yield
    language_models.registry.reset()
    opened = doc_store.reset()
    if opened is not None:
        opened.close()


@pytest.fixture
def store(engine: None) -> DocStore:
    return doc_store()


@pytest.fixture
def new_client(db: None) -> Callable[[], API]:
    """Return a function that makes another tenant and returns its client."""

    def make() -> API:
        user = services.create_account(email=f"user{next(_numbers)}@example.org")
        tenant = Tenant.objects.get(pk=user.pk)
        return API(services.create_token(tenant=tenant, created_by=user).secret, tenant)

    return make


@pytest.fixture
def api(new_client: Callable[[], API]) -> API:
    return new_client()


@pytest.fixture
def other(new_client: Callable[[], API]) -> API:
    """The client of somebody else's tenant."""
    return new_client()


@pytest.fixture
def tenant(api: API) -> Tenant:
    assert api.tenant is not None
    return api.tenant


@pytest.fixture
def principal(api: API) -> Principal:
    assert api.principal is not None
    return api.principal


@pytest.fixture
def purge_deleted(db: None) -> Callable[[], None]:
    """Return a function that does what a worker would: it removes what deleted datasets hold."""

    def purge() -> None:
        datasets.purge_hidden()

    return purge


@pytest.fixture
def run_tasks(db: None) -> Callable[[], int]:
    """Return a function that does what a worker would: it runs the waiting ingest tasks and returns how many."""

    def run() -> int:
        waiting = list(IngestTask.objects.filter(state=IngestTask.State.PENDING).order_by("created_at"))
        for task in waiting:
            ingest.run(task.pk)
        return len(waiting)

    return run
