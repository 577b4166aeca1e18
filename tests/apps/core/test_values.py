"""Numbers, pages, times, paths, secrets."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import orjson
import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from apps.core import clock, crypto
from apps.core.errors import BadValue, InvalidArgument
from apps.core.http import canonical_path, dumps
from apps.core.ids import new_id
from apps.core.paging import Page, descending, page_of
from apps.core.validation import integer, number, validate


class Sample(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    name: str
    size: int = 0


def test_validation_lists_every_error_with_its_place_and_input():
    with pytest.raises(InvalidArgument) as caught:
        validate(Sample, {"size": "x", "more": "y" * 200})
    lines = caught.value.message.split("\n")
    shown = str({"size": "x", "more": "y" * 200})[:125]
    assert lines[0] == f"Field: <name> - Message: <Field required> - Value: <{shown}...>"
    assert lines[1] == "Field: <size> - Message: <Input should be a valid integer> - Value: <x>"
    assert lines[2] == f"Field: <more> - Message: <Extra inputs are not permitted> - Value: <{'y' * 125}...>"


@pytest.mark.parametrize("value", ["a", "", "1.5", None, [], "9" * 5000, float("inf")])
def test_what_is_no_whole_number_is_named(value: object):
    with pytest.raises(BadValue, match="`page`"):
        integer("page", value)


@pytest.mark.parametrize("value", ["a", None, {}, "nan", "inf", float("nan")])
def test_what_is_no_finite_number_is_named(value: object):
    with pytest.raises(BadValue, match="`similarity_threshold`"):
        number("similarity_threshold", value)


def test_pages():
    assert page_of({}) == Page(1, 30)
    assert page_of({"page": "0", "page_size": "0"}) == Page(1, 0)
    assert page_of({"page": "", "page_size": ""}) == Page(1, 30)
    with pytest.raises(BadValue):
        page_of({"page": "-1"})


@pytest.mark.parametrize(("query", "expected"), [({}, True), ({"desc": "False"}, False), ({"desc": "no"}, True)])
def test_order(query: dict[str, str], expected: bool):
    assert descending(query) is expected


def test_times_are_milliseconds_and_http_dates():
    moment = datetime(2026, 1, 23, 22, 9, 49, 123000, tzinfo=UTC)
    assert clock.milliseconds(moment) == 1769206189123
    assert clock.http_date(moment) == "Fri, 23 Jan 2026 22:09:49 GMT"
    assert clock.http_date(None) is None


def test_ids_are_version_1_uuids():
    assert uuid.UUID(hex=new_id()).version == 1
    assert len({new_id() for _ in range(1000)}) == 1000


def test_an_id_tells_neither_the_machine_nor_the_next_id():
    ids = [uuid.UUID(hex=new_id()) for _ in range(100)]
    assert all(id_.node >> 40 & 1 for id_ in ids)  # no network card has such an address
    assert len({id_.node for id_ in ids}) == len(ids)
    assert len({id_.clock_seq for id_ in ids}) > len(ids) / 2


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/api/v1/datasets/", "/api/v1/datasets"),
        ("//api//v1/datasets//documents", "/api/v1/datasets/documents"),
        ("/v1/system/ping///", "/v1/system/ping"),
        ("/admin/accounts/", "/admin/accounts/"),
        ("/", "/"),
        ("//", "/"),
    ],
)
def test_paths_are_canonical(path: str, canonical: str):
    assert canonical_path(path) == canonical


@given(st.recursive(st.text(alphabet=st.characters(codec=None)) | st.none() | st.integers(0, 9), st.lists))
def test_any_text_can_be_sent(content: object):
    assert isinstance(orjson.loads(dumps({"data": content})), dict)


@pytest.mark.parametrize("number", [int(1e30), int(-1e30), int(1.7e308), 2**63 - 1, -(2**63)])
def test_numbers_come_back_whatever_a_database_made_of_them(number: int):
    assert orjson.loads(dumps({"meta_fields": [number]})) == {"meta_fields": [number]}


def test_secrets_are_encrypted_under_the_installations_key():
    ciphertext = crypto.encrypt("ragflow-secret")
    assert "ragflow-secret" not in ciphertext
    assert crypto.decrypt(ciphertext) == "ragflow-secret"
    with override_settings(SECRET_KEY="another installation's key, long enough"):
        assert crypto.decrypt(ciphertext) is None
