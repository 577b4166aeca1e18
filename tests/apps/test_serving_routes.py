"""Every route through the ASGI application: methods, unknown paths, pages for people, probes."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import path

from ragflow import checks, health, streaming
from tests.tools.asgi import Exchange

pytestmark = pytest.mark.django_db(transaction=True)

STREAMING = "/api/v1/chats/0123/completions"
ORDINARY = "/api/v1/datasets"


async def ask(path_: str, method: str = "GET", **headers: str) -> Exchange:
    from ragflow.asgi import application

    return await Exchange(application, path_, method=method, headers=headers).start().finish()


def fetch(client: Client, path_: str) -> Any:
    """Request a file and close it, as a server does after sending."""
    response = client.get(path_)
    response.close()
    return response


@pytest.mark.parametrize("path_", [STREAMING, ORDINARY])
async def test_a_wrong_method_is_refused_before_the_credentials(path_: str) -> None:
    exchange = await ask(path_, "PATCH")
    assert exchange.status == 405
    assert orjson.loads(exchange.content) == {
        "code": 100,
        "message": "<MethodNotAllowed '405: Method Not Allowed'>",
        "data": None,
    }


@pytest.mark.parametrize(("path_", "allowed"), [(STREAMING, {"POST"}), (ORDINARY, {"GET", "HEAD", "POST", "DELETE"})])
async def test_options_needs_no_credentials(path_: str, allowed: set[str]) -> None:
    exchange = await ask(path_, "OPTIONS")
    assert (exchange.status, exchange.content) == (200, b"")
    assert set(exchange.answer_headers["allow"].split(", ")) == allowed | {"OPTIONS"}


@pytest.mark.parametrize("announces", [True, False], ids=["announced", "in chunks"])
@pytest.mark.parametrize(
    ("path_", "size", "status"),
    [
        ("/api/v1/openai/chat/completions", streaming.LONGEST_BODY, 401),
        ("/api/v1/openai/chat/completions", streaming.LONGEST_BODY + 1, 413),
        ("/api/v1/sequence2txt", streaming.LONGEST_BODY + 1, 401),  # a recording
        (ORDINARY, streaming.LONGEST_BODY + 1, 401),
    ],
)
async def test_what_is_read_on_the_event_loop_is_short(path_: str, size: int, status: int, announces: bool) -> None:
    from ragflow.asgi import application

    body = b'{"model": 1, "messages": 2, "_": "' + b"x" * (size - 36) + b'"}'
    assert len(body) == size
    headers = {"Content-Type": "application/json"} | ({"Content-Length": str(size)} if announces else {})
    exchange = Exchange(application, path_, method="POST", headers=headers, body=[body[:1000], body[1000:]])
    assert (await exchange.start().finish()).status == status


@pytest.mark.parametrize("path_", [STREAMING, ORDINARY])
@pytest.mark.parametrize("spell", ["{}", "{}/", "/{}//"])
async def test_slashes_do_not_change_the_half_or_the_route(path_: str, spell: str) -> None:
    exchange = await ask(spell.format(path_), "POST")
    assert exchange.status == 401


@pytest.mark.parametrize("path_", [STREAMING, ORDINARY])
async def test_browsers_of_other_origins_may_read_the_answer(path_: str) -> None:
    exchange = await ask(path_, "POST", Origin="https://elsewhere.example")
    assert exchange.answer_headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in exchange.answer_headers


@pytest.mark.parametrize(
    "path_", [STREAMING, ORDINARY, "/api/v1/chatbots/0123/completions", "/api/v1/chatbots/0123/info"]
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_browsers_of_other_origins_can_be_limited(path_: str, method: str, settings: Any) -> None:
    settings.CORS_ORIGINS = frozenset({"https://shop.example"})
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = await ask(path_, method, Origin="https://shop.example", **preflight)
    assert allowed.answer_headers["access-control-allow-origin"] == "https://shop.example"
    refused = await ask(path_, method, Origin="https://evil.example", **preflight)
    assert "access-control-allow-origin" not in refused.answer_headers
    assert "Origin" in allowed.answer_headers["vary"]
    assert "Origin" in refused.answer_headers["vary"]


@pytest.mark.parametrize("path_", [STREAMING, ORDINARY])
async def test_both_halves_name_the_request_and_its_type(path_: str) -> None:
    exchange = await ask(path_, "POST")
    headers = exchange.answer_headers
    assert re.fullmatch("[0-9a-f]{12}", headers["x-request-id"])
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-length"] == str(len(exchange.content))


@pytest.mark.parametrize("path_", ["/api/v1/__missing__", "/api/v1/chats/1/completions/2", "/nowhere/", "/v1/x//y/"])
async def test_an_unknown_path_is_named_as_it_was_sent(path_: str) -> None:
    exchange = await ask(path_, "POST")
    assert exchange.status == 404
    assert orjson.loads(exchange.content) == {
        "code": 404,
        "message": f"Not Found: {path_}",
        "data": None,
        "error": "Not Found",
    }


async def test_an_unknown_host_is_refused_without_a_word_about_this_machine() -> None:
    exchange = await ask(ORDINARY, Host="evil.example")
    assert exchange.status == 400


async def test_any_accept_header_is_served() -> None:
    exchange = await ask("/v1/system/ping", Accept="text/event-stream")
    assert (exchange.status, exchange.content) == (200, b"pong")
    assert exchange.answer_headers["content-type"] == "text/html; charset=utf-8"
    refused = await ask(ORDINARY, Accept="image/png")
    assert refused.answer_headers["content-type"] == "application/json"


def test_healthz_names_every_part(client: Client) -> None:
    response = client.get("/v1/system/healthz")
    assert response.status_code == 200
    assert response.json() == {"db": "ok", "redis": "ok", "doc_engine": "ok", "storage": "ok", "status": "ok"}


@pytest.mark.parametrize("part", ["db", "redis", "doc_engine", "storage"])
def test_healthz_says_which_part_fails_and_keeps_why(
    client: Client, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fails() -> None:
        raise OSError("connection to db.internal:5432 refused for user admin")

    monkeypatch.setitem(health.CHECKS, part, fails)
    response = client.get("/v1/system/healthz")
    assert response.status_code == 500
    found = response.json()
    assert (found[part], found["status"]) == ("nok", "nok")
    assert sorted(value for name, value in found.items() if name not in {part, "status", "_meta"}) == ["ok"] * 3
    assert set(found["_meta"]) == {part}
    assert float(found["_meta"][part]["elapsed"]) >= 0
    assert "internal" not in response.content.decode()


def test_the_start_page_says_what_runs_and_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/")
    page = response.content.decode()
    assert response.status_code == 200
    for words in (
        "hash-1024@Builtin",
        "extractive@Builtin",
        "standard",
        connection.display_name,
        "/api/docs",
        "/admin/",
    ):
        assert words in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


@pytest.mark.parametrize("path_", ["/api/docs", "/api/redoc"])
def test_pages_of_the_api_reference_load_only_from_here(client: Client, path_: str) -> None:
    page = client.get(path_).content.decode()
    assets = re.findall(r"""(?:src|href)="([^"]+\.(?:js|css|png|ico)[^"]*)""", page)
    assert assets
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    for asset in assets:
        assert fetch(client, asset).status_code == 200


def test_the_document_is_at_both_addresses(client: Client) -> None:
    assert client.get("/openapi.json").json()["openapi"] == "3.1.1"
    assert client.get("/api/schema").status_code == 200
    assert client.get("/docs").headers["Location"] == "/api/docs"


def test_static_files_are_cached_and_served_again_only_when_changed(client: Client) -> None:
    first = fetch(client, "/static/admin/css/base.css")
    assert first.status_code == 200
    assert first.headers["Content-Type"] == "text/css"
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    again = client.get("/static/admin/css/base.css", headers={"If-Modified-Since": first.headers["Last-Modified"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["", "admin", "admin/", "../manage.py", "%2e%2e/manage.py", "/etc/passwd", "none.css"])
def test_nothing_but_static_files_is_served(client: Client, name: str) -> None:
    assert fetch(client, f"/static/{name}").status_code == 404


def test_the_admin_carries_the_name_and_needs_a_sign_in(client: Client) -> None:
    page = client.get("/admin/", follow=True)
    assert page.redirect_chain[-1][0].startswith("/admin/login/")
    assert b"RAGFlow on Django" in page.content


def test_the_browsable_api_is_for_people(client: Client) -> None:
    page = client.get(ORDINARY, headers={"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"API reference" in page.content


def test_the_routes_of_this_project_pass_their_checks() -> None:
    call_command("check", tags=["urls"])


def test_a_route_in_both_halves_is_an_error(settings: Any) -> None:
    urls = [*streaming.urlpatterns, path("api/v1/chats/<str:id>/completions", lambda request: None)]
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})
    found = checks.each_path_has_one_half()
    assert [error.id for error in found] == ["ragflow.E001"]


def test_a_blocking_view_among_the_streams_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ninja import Router

    router = Router()

    @router.get("/api/v1/blocking")
    def blocking(request: Any) -> None: ...

    monkeypatch.setattr(streaming, "ROUTERS", (router,))
    assert [error.id for error in checks.streaming_views_are_coroutines()] == ["ragflow.E002"]
