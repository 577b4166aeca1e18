"""Models that read pictures appear for every tenant where the environment names a service for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from apps.accounts.models import TenantModel
from apps.accounts.services import ocr_models
from apps.core.crypto import decrypt
from tests.apps.accounts.conftest import Web, join

VALUES = {"MINERU_APISERVER": "http://mineru:8000", "MINERU_BACKEND": "pipeline"}
TOKEN = "planted-token"


@pytest.fixture
def mineru(settings: Any) -> None:
    settings.OCR_SERVICES = {"MinerU": VALUES}


def names(web: Web) -> list[str]:
    data = web.call("GET", "/v1/llm/my_llms")["data"]
    return [item["name"] for item in data.get("MinerU", {"llm": []})["llm"]]


def test_without_variables_there_are_none(ada: Web):
    assert ada.call("GET", "/v1/llm/my_llms")["data"] == {}
    assert not TenantModel.objects.exists()


def test_a_row_for_each_tenant(ada: Web, bob: Web, mineru: None, profile: str):
    for person in (ada, bob, ada):
        data = person.call("GET", "/v1/llm/my_llms")["data"]
        item = {"type": "ocr", "name": "mineru-from-env-1", "used_token": 0, "status": "1"}
        assert data == {"MinerU": {"tags": "OCR", "llm": [item]}}
    assert TenantModel.objects.count() == 2
    assert json.loads(decrypt(TenantModel.objects.first().encrypted_key)) == VALUES
    assert [provider["name"] for provider in ada.call("GET", "/v1/llm/factories")["data"]].count("MinerU") == 0


def test_the_list_to_choose_from(ada: Web, mineru: None):
    found = ada.call("GET", "/v1/llm/list?model_type=ocr")["data"]
    assert found == {
        "MinerU": [
            {"llm_name": "mineru-from-env-1", "model_type": "ocr", "fid": "MinerU", "available": True, "status": "1"}
        ]
    }


def test_other_values_are_another_model(ada: Web, mineru: None, settings: Any):
    assert names(ada) == ["mineru-from-env-1"]
    settings.OCR_SERVICES = {"MinerU": VALUES | {"MINERU_BACKEND": "vlm"}}
    assert names(ada) == names(ada) == ["mineru-from-env-1", "mineru-from-env-2"]
    settings.OCR_SERVICES = {"MinerU": dict(reversed(VALUES.items()))}
    assert names(ada) == ["mineru-from-env-1", "mineru-from-env-2"]


def test_a_disabled_one_stays_disabled(ada: Web, mineru: None):
    names(ada)
    body = {"llm_factory": "MinerU", "llm_name": "mineru-from-env-1", "status": "0"}
    assert ada.call("POST", "/v1/llm/enable_llm", body)["data"] is True
    assert ada.call("GET", "/v1/llm/my_llms")["data"]["MinerU"]["llm"][0]["status"] == "0"
    assert "MinerU" not in ada.call("GET", "/v1/llm/list")["data"]


def test_a_member_sees_those_of_the_team(ada: Web, bob: Web, mineru: None):
    join(ada, bob, "viewer")
    assert ada.user
    data = bob.call("GET", f"/v1/llm/my_llms?tenant_id={ada.user.pk}")["data"]
    assert set(data) == {"MinerU"}
    assert [row.tenant_id for row in TenantModel.objects.all()] == [ada.user.pk]


def test_another_request_was_first(ada: Web, mineru: None):
    assert ada.user
    tenant = ada.user.memberships.get().tenant
    for _ in range(2):
        ocr_models._add(tenant, "MinerU", VALUES, taken=set())
    assert TenantModel.objects.count() == 1


def test_the_variables(tmp_path: Any):
    """Empty ones count as absent; the token is in no answer."""
    script = "from ragflow.settings.ocr import OCR_SERVICES; print(OCR_SERVICES)"
    given = {"PADDLEOCR_API_URL": "http://paddle:9", "PADDLEOCR_ACCESS_TOKEN": TOKEN, "MINERU_BACKEND": ""}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MINERU", "PADDLE"))}
    run = subprocess.run([sys.executable, "-c", script], env=environment | given, capture_output=True, check=True)
    assert set(eval(run.stdout)) == {"PaddleOCR"}


def test_the_token_of_a_service_is_never_shown(ada: Web, settings: Any):
    settings.OCR_SERVICES = {"PaddleOCR": {"PADDLEOCR_ACCESS_TOKEN": TOKEN}}
    answers = [ada.call("GET", f"/v1/llm/{path}") for path in ("my_llms", "my_llms?include_details=true", "list")]
    assert all("paddleocr-from-env-1" in str(answer) and TOKEN not in str(answer) for answer in answers)
    assert TOKEN not in TenantModel.objects.get().encrypted_key
