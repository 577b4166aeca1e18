"""The OpenAPI document: valid, complete, and changed only on purpose (UPDATE=1 records it anew)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import validate

from ragflow import openapi, streaming
from ragflow.checks import _routes

SNAPSHOT = Path(__file__).parent / "snapshots" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    GENERATOR_STATS.reset()
    generated = SchemaGenerator().get_schema(request=None, public=True)
    return json.loads(json.dumps(generated))


def test_nothing_is_left_for_the_generator_to_guess(document: dict[str, Any]) -> None:
    assert not GENERATOR_STATS, f"{dict(GENERATOR_STATS._warn_cache)} {dict(GENERATOR_STATS._error_cache)}"


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_it_is_as_recorded(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE"):
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text(), "The document changed. If that is intended, run the tests with UPDATE=1."


def test_both_halves_are_described(document: dict[str, Any]) -> None:
    routed = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{route}")
        for route, _pattern in _routes(get_resolver().url_patterns)
        if route.startswith(("api/v1/", "v1/"))
    }
    assert routed == set(document["paths"])
    assert any(streaming.STREAMING_PATHS.fullmatch(path) for path in document["paths"])


def test_every_group_has_its_place(document: dict[str, Any]) -> None:
    used = {tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]}
    placed = [tag["name"] for tag in document["tags"]]
    assert not used - set(placed), "Give them a place among SPECTACULAR_SETTINGS['TAGS']."
    assert len(placed) == len(set(placed))


def test_no_description_tells_how_views_are_built(document: dict[str, Any]) -> None:
    told = [operation.get("description", "") for path in document["paths"].values() for operation in path.values()]
    assert not [text for text in told if "viewset" in text.lower()]
    assert any(told)


def test_endpoints_ask_for_a_token_and_probes_do_not(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["APIToken"]["scheme"] == "bearer"
    operations = document["paths"]
    assert operations["/api/v1/datasets"]["get"]["security"] == [{"APIToken": []}]
    assert operations["/api/v1/chats/{chat_id}/completions"]["post"]["security"] == [{"APIToken": []}]
    assert "security" not in operations["/v1/system/ping"]["get"]


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)


def test_a_path_that_both_halves_describe_is_an_error() -> None:
    taken = {"paths": {"/api/v1/chats/{chat_id}/completions": {"post": {}}}}
    with pytest.raises(ValueError, match="post of /api/v1/chats/"):
        openapi.fold_in_streaming_half(taken)
