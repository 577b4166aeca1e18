"""Values and bodies that break parsers, one at a time, at every list and every endpoint that takes a body."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from urllib.parse import quote_from_bytes, urlencode

import orjson
import pytest

from tests.apps.generated.cases import Operation, Sent, operations
from tests.apps.generated.conftest import World
from tests.apps.generated.sending import Send, problem_with, report, streaming
from tests.apps.generated.test_generated_requests import STREAMING
from tests.apps.generated.values import TEXTS

# For each list: its method, its path, its parameters.
LISTS = {
    "datasets": ("GET", "/api/v1/datasets", "id name page page_size orderby desc"),
    "documents": (
        "GET",
        "/api/v1/datasets/{dataset_id}/documents",
        "id name keywords suffix run create_time_from create_time_to metadata_condition page page_size orderby desc",
    ),
    "chunks": (
        "GET",
        "/api/v1/datasets/{dataset_id}/documents/{document_id}/chunks",
        "id keywords page page_size",
    ),
    "chats": ("GET", "/api/v1/chats", "id name page page_size orderby desc"),
    "sessions": ("GET", "/api/v1/chats/{chat_id}/sessions", "id name user_id page page_size orderby desc"),
    "files": ("GET", "/api/v1/file/list", "parent_id keywords page page_size orderby desc"),
    "search apps": ("POST", "/v1/search/list", "keywords page page_size orderby desc"),
    "datasets of the web API": ("POST", "/v1/kb/list", "keywords parser_id page page_size orderby desc"),
    "documents of the web API": ("POST", "/v1/document/list?kb_id={kb_id}", "keywords page page_size orderby desc"),
    "dialogs of the web API": ("POST", "/v1/dialog/next", "keywords page page_size orderby desc"),
    "tokens of the web API": ("GET", "/v1/api/token_list?dialog_id={dialog_id}", "dialog_id canvas_id"),
    "statistics": ("GET", "/v1/api/stats", "from_date to_date canvas_id"),
}

QUERIES = (
    "%",
    "%ff=%ff",
    "page=%00",
    "page=%ff&page_size=%ff",
    "page=1&page=2&page_size=2&page_size=3",
    "=&=&&;",
    "page[]=1&page[a]=2",
    "&".join(f"a{number}=1" for number in range(3000)),
)

BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[1]",
    "a text": b'"text"',
    "a number": b"1e999",
    "half an object": b'{"name": "x"',
    "not a number": b'{"name": NaN, "page": Infinity}',
    "a long number": b'{"name": ' + b"9" * 5000 + b"}",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "byte order mark": codecs.BOM_UTF8 + b'{"name": "x"}',
    "half a surrogate pair": rb'{"name": "\ud800", "question": "\ud800", "\udfff": 1}',
    "names twice": b'{"name": "a", "name": 1, "ids": ["x"], "ids": null}',
}

CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=x",
    "text/plain",
    "nonsense",
    "/;=",
)

HEADERS = (
    {"Authorization": "Bearer " + "x" * 5000},
    {"Authorization": "Bearer \u00ff\u00fe"},
    {"Authorization": "Bearer a\0b"},
    {"Authorization": "\t"},
    {"Accept": "nonsense"},
    {"Accept": "application/json;q=nonsense"},
    {"Accept-Language": "\u00ff;q=x"},
    {"Content-Length": "-1"},
    {"Content-Length": "9" * 30},
    {"Host": "a b"},
    {"Origin": "\u00ff"},
    {"Range": "bytes=9999999999999999999999-"},
    {"X-Request-Id": "\u00ff" * 100},
    {"X-Forwarded-For": "nonsense, , 1"},
    {"Cookie": "sessionid=\u00ff; csrftoken=\0; ;=;"},
    {"If-Modified-Since": "nonsense"},
)


def answers(requests: Iterator[Sent], send: Send, complaints: list[str]) -> str:
    """Send them all. Return what went wrong, one paragraph for each."""
    found = []
    for request in requests:
        complaints.clear()
        problem = problem_with(send(request), request.path)
        if problem or complaints:
            found.append(f"{request}\n{problem}\n{''.join(complaints)}")
    return "\n\n".join(found)


@pytest.mark.parametrize("name", LISTS)
def test_parameters_of_lists(name: str, world: World, ordinary: Send, complaints: list[str]) -> None:
    method, path, parameters = LISTS[name]
    path, _, fixed = path.format(**world.known).partition("?")
    headers = {"Authorization": world.authorizations["APIToken"]}

    _, _, shown = ordinary(Sent(method, path, fixed, b"", "", headers))
    assert orjson.loads(shown)["code"] == 0

    def requests() -> Iterator[Sent]:
        queries = [urlencode({key: text.encode("utf-8", "replace")}) for key in parameters.split() for text in TEXTS]
        for query in (*queries, *QUERIES, f"name={quote_from_bytes(bytes(range(256)))}"):
            yield Sent(method, path, f"{fixed}&{query}".lstrip("&"), b"", "", headers)

    report(answers(requests(), ordinary, complaints))


def taking_bodies(world: World, *, in_streaming_half: bool) -> Iterator[tuple[Operation, str, dict[str, str]]]:
    for operation in operations():
        if operation.described.method != "get" and (operation.path in STREAMING) is in_streaming_half:
            names = dict.fromkeys(("role", "number", "token", "key", "type_name"), "x") | world.known
            yield operation, operation.path.format(**names), world.headers(operation.schemes)


def bodies(world: World, *, in_streaming_half: bool) -> Iterator[Sent]:
    """Every body as JSON, and one under every content type, for every endpoint that takes any."""
    for operation, path, headers in taking_bodies(world, in_streaming_half=in_streaming_half):
        method = operation.described.method.upper()
        for body in BODIES.values():
            yield Sent(method, path, "", body, "application/json", headers)
        for content_type in CONTENT_TYPES:
            yield Sent(method, path, "", BODIES["names twice"], content_type, headers)


def test_bodies(world: World, ordinary: Send, complaints: list[str]) -> None:
    report(answers(bodies(world, in_streaming_half=False), ordinary, complaints))


@pytest.mark.django_db(transaction=True)
def test_bodies_of_the_streaming_half(world: World, complaints: list[str]) -> None:
    report(answers(bodies(world, in_streaming_half=True), streaming, complaints))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/api/v1/datasets", "/api/v1/openai/models", "/v1/system/ping", "/nowhere"])
def test_headers(path: str, world: World, complaints: list[str]) -> None:
    """Through the whole application, which reads headers before Django does."""
    authorization = {"Authorization": world.authorizations["APIToken"]}
    requests = (Sent("GET", path, "", b"", "", authorization | headers) for headers in HEADERS)
    report(answers(requests, streaming, complaints))
