"""What counts as which body."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.test import RequestFactory, override_settings

from apps.core import bodies
from apps.core.errors import InvalidArgument, MalformedBody, MissingArguments, answer_to
from tests.apps.conftest import BOUNDARY, form

post = RequestFactory().post


def json_request(content: str | bytes, content_type: str = "application/json"):
    # Clients name a content type even when they send no bytes; the factory would drop it.
    return post("/", data=content, content_type=content_type, CONTENT_TYPE=content_type)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data"])
def test_no_bytes_are_an_empty_object_whatever_the_type_says(content_type: str):
    assert bodies.read_object(json_request(b"", content_type)) == {}


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_object_is_read(content_type: str):
    assert bodies.read_object(json_request('{"ids": ["a"], "n": null}', content_type)) == {"ids": ["a"], "n": None}


def test_form_fields_are_an_object_of_texts():
    assert bodies.read_object(post("/", {"name": "x", "n": 3})) == {"name": "x", "n": "3"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_form_is_read_whatever_the_method_is(method: str):
    """One that is not read would count as empty, and deleting without ids deletes everything."""

    def sent(content: bytes, content_type: str):
        with closing(RequestFactory().generic(method, "/", content, content_type=content_type)) as request:
            return bodies.read_object(request)

    assert sent(b"ids=1&ids=2&n=", "application/x-www-form-urlencoded") == {"ids": "1", "n": ""}
    parts = form(("ids", None, b"1"), ("ids", None, b"2"), ("file", "a.txt", b"x"))
    assert sent(parts, f"multipart/form-data; boundary={BOUNDARY}") == {"ids": "1"}
    assert sent(form(), f"multipart/form-data; boundary={BOUNDARY}") == {}


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_json_that_is_declared_as_a_form_is_refused(method: str):
    request = RequestFactory().generic(method, "/", ' {"ids": ["1"]}', content_type="application/x-www-form-urlencoded")
    with pytest.raises(MalformedBody, match="Content-Type: application/json"):
        bodies.read_object(request)


@pytest.mark.parametrize("parameters", ["", f"; boundary={BOUNDARY}"])
def test_a_deletion_whose_form_has_no_parts_is_refused(parameters: str):
    request = RequestFactory().generic("DELETE", "/", "ids=1", content_type=f"multipart/form-data{parameters}")
    with pytest.raises(MalformedBody, match="could not be read"):
        bodies.read_object(request)


def test_nesting_has_a_limit_that_answers_can_bear():
    def nested(levels: int) -> str:
        return '{"a":[' * (levels // 2) + "1" + "]}" * (levels // 2)

    assert bodies.read_object(json_request(nested(bodies.DEEPEST)))
    with pytest.raises(MalformedBody, match="nested deeper than 100 levels"):
        bodies.read_object(json_request(nested(bodies.DEEPEST + 2)))
    assert bodies.read_validated_payload(json_request(nested(bodies.DEEPEST)))
    with pytest.raises(InvalidArgument, match="nested deeper than 100 levels"):
        bodies.read_validated_payload(json_request(nested(bodies.DEEPEST + 2)))


@pytest.mark.parametrize(
    ("content", "content_type", "reference"),
    [
        ('"text"', "application/json", """AttributeError("'str' object has no attribute 'get'")"""),
        ("[1]", "application/json", "TypeError('JSON payload must be an object.')"),
        ("null", "application/json", "TypeError('JSON payload must be an object.')"),
        ("{", "application/json", "<BadRequest '400: Bad Request'>"),
        ("hello", "text/plain", "TypeError('Request body is not a valid form payload.')"),
    ],
)
def test_other_bodies_are_refused_in_words_or_in_the_references_text(content: str, content_type: str, reference: str):
    with pytest.raises(MalformedBody) as caught:
        bodies.read_object(json_request(content, content_type))
    standard = answer_to(caught.value)
    assert (standard.status, standard.body["code"]) == (400, 101)
    assert "body" in standard.body["message"]
    with override_settings(WIRE_PROFILE="exact"):
        assert answer_to(caught.value).body == {"code": 100, "message": reference, "data": None}


@pytest.mark.parametrize("content", ["null", "{}", "[]", '""', "0", "false"])
def test_falsy_json_is_an_empty_payload(content: str):
    assert bodies.read_validated_payload(json_request(content)) == {}


def test_a_payload_of_another_content_type_is_ignored():
    assert bodies.read_validated_payload(json_request('{"name": "x"}', "text/xml")) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Malformed JSON syntax: Missing commas/brackets or invalid encoding"),
        ("{name}", "Malformed JSON syntax: Missing commas/brackets or invalid encoding"),
        ('"text"', "Invalid request payload: expected object, got str"),
        ("[1]", "Invalid request payload: expected object, got list"),
        ("1.5", "Invalid request payload: expected object, got float"),
        ("true", "Invalid request payload: expected object, got bool"),
    ],
)
def test_a_payload_that_is_no_object_is_an_argument_error(content: str, message: str):
    with pytest.raises(InvalidArgument, match=r"^" + message.replace("/", r"\/")):
        bodies.read_validated_payload(json_request(content))


def test_required_names_count_as_given_whatever_their_value():
    bodies.require({"model": None, "messages": []}, ["model", "messages"])
    with pytest.raises(MissingArguments) as caught:
        bodies.require({"other": 1}, ["model", "messages"])
    assert answer_to(caught.value).body == {
        "code": 101,
        "message": "required argument are missing: model,messages; ",
        "data": None,
    }
