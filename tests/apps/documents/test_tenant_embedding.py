"""Documents are embedded with the model of their dataset's owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.accounts import language_models
from apps.accounts.models import Membership, TenantModel
from apps.core.crypto import encrypt
from ragflow.engine.registry import ModelSettings
from tests.tools.model_server import ModelServer, Reply

NAME = "embedding-3@ZHIPU-AI"


@pytest.fixture
def provider(settings: Any, engine: None) -> Iterator[ModelServer]:
    with ModelServer() as server:
        settings.PROVIDER_URLS = {"ZHIPU-AI": server.url}
        settings.MODELS = ModelSettings()
        language_models.registry.reset()
        yield server


@pytest.fixture
def row(api: Any) -> TenantModel:
    return TenantModel.objects.create(
        tenant=api.tenant,
        provider="ZHIPU-AI",
        name="embedding-3",
        type="embedding",
        encrypted_key=encrypt("key-of-the-owner"),
    )


def parse(api: Any, dataset: str, run_tasks: Any) -> dict[str, Any]:
    (document,) = api.upload(dataset, ("a.txt", b"The red bridge of Ulm was built in 1903."))
    path = f"/api/v1/datasets/{dataset}"
    assert api.call("POST", f"{path}/chunks", {"document_ids": [document["id"]]})["code"] == 0
    assert run_tasks() == 1
    return api.call("GET", f"{path}/documents")["data"]["docs"][0]


def test_parsing_and_searching_use_the_owners_key(api, other, provider, row, run_tasks):
    dataset = api.create_dataset(embedding_model=NAME, permission="team")["id"]
    assert parse(api, dataset, run_tasks)["run"] == "DONE"
    row.refresh_from_db()
    assert row.used_tokens > 0
    Membership.objects.create(tenant=api.tenant, user_id=other.tenant.pk)
    answer = other.call("POST", "/api/v1/retrieval", {"dataset_ids": [dataset], "question": "red bridge"})
    assert answer["data"]["total"] == 1
    assert {exchange.headers["authorization"] for exchange in provider.exchanges} == {"Bearer key-of-the-owner"}


def test_a_key_that_is_taken_away_stops_the_worker_at_once(api, provider, row, run_tasks):
    dataset = api.create_dataset(embedding_model=NAME)["id"]
    row.delete()
    document = parse(api, dataset, run_tasks)
    assert document["run"] == "FAIL"
    assert f"Model({NAME}) not authorized" in document["progress_msg"]
    assert not provider.exchanges


def test_a_provider_that_fails_fails_the_document(api, provider, row, run_tasks):
    dataset = api.create_dataset(embedding_model=NAME)["id"]
    provider.script(Reply(status=401, message="wrong key key-of-the-owner"))
    document = parse(api, dataset, run_tasks)
    assert document["run"] == "FAIL"
    assert "wrong key ***" in document["progress_msg"]
