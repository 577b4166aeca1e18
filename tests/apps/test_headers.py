"""Odd headers, as a server hands them to the ASGI application: an answer, and never a failure of the server."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apps.accounts.services import create_token
from apps.core.threads import in_database
from tests.tools.asgi import Exchange

pytestmark = pytest.mark.django_db(transaction=True)

PATHS = [
    ("GET", "/api/v1/datasets"),  # an API token, in the ordinary half
    ("POST", "/api/v1/chats/0/completions"),  # in the streaming half
    ("POST", "/api/v1/openai/chat/completions"),  # looks at the body first
    ("POST", "/api/v1/chatbots/0/completions"),  # a share token
    ("GET", "/api/v1/chatbots/0/info"),
    ("GET", "/v1/user/info"),  # a session or a token
    ("POST", "/v1/api/rm"),
    ("POST", "/api/v1/dify/retrieval"),
    ("GET", "/v1/user/login/nobody"),
    ("GET", "/v1/user/oauth/callback/nobody"),
    ("GET", "/metrics"),
]
HEADERS: dict[str, list[bytes]] = {
    "two spaces": [b"Bearer  x"],
    "no word": [b"Bearer"],
    "blank": [b""],
    "white space": [b" \t "],
    "three words": [b"Bearer x y"],
    "two headers": [b"Bearer x", b"Bearer y"],
    "a header twice": [b"Bearer x", b"Bearer x"],
    "NUL": [b"Bearer a\0b"],
    "only NUL": [b"\0"],
    "10 kB": [b"Bearer " + b"x" * 10_000],
    "10 kB of dots": [b"." * 10_000],
    "10 kB of words": [b"a " * 5_000],
    "no UTF-8": [b"Bearer \xff\xfe\x80"],
    "surrogates": [b"Bearer \xed\xa0\x80"],
    "Latin-1": [b"Bearer \xfcml\xe4ut"],
    "UTF-8": ["Bearer schlüssel 钥匙".encode()],
    "line breaks": [b"Bearer a\r\nX-Other: b"],
    "signed by nobody": [b"a.b.c"],
    "Basic": [b"Basic eDp5"],
}


async def ask(method: str, path: str, *pairs: tuple[bytes, bytes], body: bytes = b"{}") -> Exchange:
    from ragflow.asgi import application

    async def with_headers(scope: dict[str, Any], receive: Any, send: Any) -> None:
        given = [pair for pair in scope["headers"] if pair[0] not in {name for name, _ in pairs}]
        await application(scope | {"headers": [*given, *pairs]}, receive, send)

    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return await Exchange(with_headers, path, method=method, headers=headers, body=(body,)).start().finish()


@pytest.mark.parametrize("sent", HEADERS.values(), ids=HEADERS)
async def test_no_credentials_break_the_server(sent: list[bytes], profile: str, settings: Any):
    settings.METRICS_TOKEN = "secret"
    for method, path in PATHS:
        exchange = await ask(method, path, *((b"authorization", value) for value in sent))
        assert exchange.status < 500, (method, path)
        if "/oauth/" not in path:
            assert orjson.loads(exchange.content)["code"] != 0 or profile == "exact", (method, path)


async def test_two_headers_are_no_credentials_even_if_one_is_good(api: Any):
    good = f"Bearer {(await in_database(create_token, tenant=api.tenant)).secret}".encode()
    assert (await ask("GET", "/v1/user/info", (b"authorization", good))).status == 200
    for other in (b"Bearer x", good):
        for pair in ((good, other), (other, good)):
            exchange = await ask("GET", "/v1/user/info", *((b"authorization", value) for value in pair))
            assert exchange.status == 401


@pytest.mark.parametrize(
    "name", ["cookie", "x-request-id", "accept", "content-type", "origin", "x-forwarded-for", "host", "accept-language"]
)
@pytest.mark.parametrize(
    "value", [b"", b"\0", b"\xff\xfe", b"x" * 10_000, b'a="', b";;;===,,,", b"../../\r\n", b"[::1"]
)
async def test_other_headers(name: str, value: bytes, settings: Any):
    settings.PROXIES = 1 if name == "x-forwarded-for" else 0
    for method, path in (*PATHS, ("GET", "/"), ("GET", "/admin/"), ("OPTIONS", "/api/v1/datasets")):
        assert (await ask(method, path, (name.encode(), value))).status < 500, (method, path)


async def test_cookies_do_not_cross_origins(api: Any, settings: Any):
    """Pages of other origins may call the API with a token in the header; a browser sends them no cookie."""
    for origins in (frozenset({"*"}), frozenset({"https://shop.example"})):
        settings.CORS_ORIGINS = origins
        for method in ("OPTIONS", "GET"):
            asked = (b"access-control-request-method", b"POST")
            exchange = await ask(method, "/v1/user/info", (b"origin", b"https://shop.example"), asked)
            assert "access-control-allow-credentials" not in exchange.answer_headers
            assert exchange.answer_headers["access-control-allow-origin"] in {"*", "https://shop.example"}
    for path in ("/admin/login/", "/metrics", "/"):
        exchange = await ask("GET", path, (b"origin", b"https://shop.example"))
        assert "access-control-allow-origin" not in exchange.answer_headers


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ({"*"}, b"https://shop.example", "*"),
        ({"https://shop.example"}, b"https://shop.example", "https://shop.example"),
        ({"https://shop.example"}, b"https://other.example", None),
    ],
)
async def test_whose_pages_read_the_answer_to_a_login(
    api: Any, settings: Any, origins: set[str], origin: bytes, allowed: str | None
):
    settings.CORS_ORIGINS = frozenset(origins)
    user = await in_database(api.tenant.members.get)
    await in_database(_set_password, user, "correct horse")
    body = orjson.dumps({"email": user.email, "password": "correct horse"})
    exchange = await ask("POST", "/v1/user/login", (b"origin", origin), body=body)
    assert orjson.loads(exchange.content)["code"] == 0
    assert exchange.answer_headers.get("access-control-allow-origin") == allowed


def _set_password(user: Any, password: str) -> None:
    user.set_password(password)
    user.save()
