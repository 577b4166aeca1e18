"""Log lines as text and as JSON, the request id, and what no line may hold."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from logging.config import DictConfigurator, dictConfig
from typing import Any

import orjson
import pytest
from django.conf import settings as project
from django.core import mail

from apps.accounts.services import create_account, create_token
from apps.accounts.services.sessions import start_session
from apps.core import logs
from apps.core.threads import in_database
from apps.documents import ingest
from apps.documents.models import IngestTask
from tests.apps.accounts.conftest import encrypted
from tests.apps.accounts.test_secrecy import dump
from tests.apps.conftest import API
from tests.tools.asgi import Exchange

PLANTED = "planted-pass-phrase"


def formatter_of(name: str) -> Any:
    """Make a formatter as `dictConfig` would."""
    return DictConfigurator({}).configure_formatter(dict(project.LOGGING["formatters"][name]))


class Written:
    """What the project's own configuration writes, at every level, in both formats."""

    def __init__(self) -> None:
        self.streams = {"text": io.StringIO(), "json": io.StringIO()}
        self.handlers = []
        for name, stream in self.streams.items():
            handler = logging.StreamHandler(stream)
            handler.addFilter(logs.ContextFilter())
            handler.setFormatter(formatter_of(name))
            self.handlers.append(handler)

    @property
    def text(self) -> str:
        return self.streams["text"].getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.streams["json"].getvalue().split("\n") if line]

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["logger"] == logger]


@pytest.fixture
def written() -> Iterator[Written]:
    import ragflow.asgi  # noqa: F401 -- the first time, it sets Django up again, and with it the log

    logs._context.set(logs._Context())  # another test's request was in this thread
    written = Written()
    root, levels = logging.getLogger(), {}
    for name in ("", "apps", "ragflow", "ragflow.access", "asyncio"):
        logger = logging.getLogger(name)
        levels[logger] = logger.level
        logger.setLevel(logging.DEBUG)
    for handler in written.handlers:
        root.addHandler(handler)
    yield written
    for handler in written.handlers:
        root.removeHandler(handler)
    for logger, level in levels.items():
        logger.setLevel(level)


async def ask(path: str, method: str = "GET", body: Any = None, **headers: str) -> Exchange:
    from ragflow.asgi import application

    content = b"" if body is None else orjson.dumps(body)
    known = {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
    return await Exchange(application, path, method=method, headers=known, body=(content,)).start().finish()


# -- lines ---------------------------------------------------------------------------------------------------------


class TestLines:
    def test_json(self, written: Written):
        log = logging.getLogger("apps.tests")
        log.info("Two %s", "things", extra={"document": "7", "count": 2, "nested": {"a": [1]}})
        try:
            raise ValueError("line\nbreak")
        except ValueError:
            log.exception("It failed")
        first, second = written.of("apps.tests")
        time = first.pop("time")
        assert time.endswith("+00:00")
        assert first == {
            "level": "info",
            "logger": "apps.tests",
            "message": "Two things",
            "document": "7",
            "count": 2,
            "nested": {"a": [1]},
        }
        assert "ValueError: line\nbreak" in second["exception"]

    @pytest.mark.parametrize(
        "odd",
        ["\udcff", object(), {1: {2}}, b"\xff", float("nan"), 2**70, "a\nb\u2028"],
        ids=["surrogate", "object", "set", "bytes", "nan", "huge", "lines"],
    )
    def test_whatever_is_logged_is_one_line_of_json(self, odd: Any):
        # Formatted here, because the test runner cannot hand over a captured line with a surrogate.
        record = logging.LogRecord("apps.tests", logging.INFO, __file__, 1, "%s", (odd,), None)
        record.odd = odd
        line = logs.JSONFormatter().format(record)
        assert "\n" not in line
        assert json.loads(line)["logger"] == "apps.tests"

    def test_text_is_the_default_and_json_a_setting(self):
        assert project.LOGGING["handlers"]["stderr"]["formatter"] == "text"
        formatters = {"version": 1, "formatters": project.LOGGING["formatters"], "incremental": False}
        dictConfig(formatters | {"disable_existing_loggers": False})

    def test_nothing_within_a_line_of_text_looks_like_another(self):
        forged = "a\n12:00:00 ERROR forged\r\x1b[2J\x85\u2028.pdf"
        try:
            raise ValueError(forged)
        except ValueError:
            record = logging.LogRecord("apps.tests", logging.INFO, __file__, 1, "%s – ü", (forged,), sys.exc_info())
        logs.ContextFilter().filter(record)
        event, *traceback = formatter_of("text").format(record).splitlines()
        assert event.endswith(r"a\n12:00:00 ERROR forged\r\x1b[2J\x85\u2028.pdf – ü")
        assert "ValueError: a" in traceback[-2]
        assert all(line.startswith("  ") and line.isprintable() for line in traceback)

    @pytest.mark.django_db
    def test_a_task_names_itself_and_its_tenant(self, written: Written, api: Any, monkeypatch: pytest.MonkeyPatch):
        dataset = api.create_dataset()["id"]
        document = api.upload(dataset, ("a.txt", b"One."))[0]["id"]
        api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document]})

        def broken(*_args: object, **_options: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("apps.documents.ingest.ingest", broken)
        logs._context.set(logs._Context())
        task = IngestTask.objects.get()
        ingest.run(task.pk)
        line = written.of("apps.documents.ingest")[-1]
        assert (line["task_id"], line["tenant"]) == (task.pk, api.tenant.pk)
        assert "request_id" not in line
        assert f"[{task.pk}]" in written.text
        assert logs.current_request_id() == "-"


# -- the request id ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestRequestId:
    @pytest.mark.parametrize("path", ["/v1/system/ping", "/api/v1/chats/0/completions", "/nowhere"])
    @pytest.mark.parametrize("sent", ["a", "0b4c39d0-9c7e-4b8a-9d2d-6cf8a2f1e111", "A.b_c-1", "x" * 64])
    async def test_a_good_one_is_kept(self, path: str, sent: str):
        assert (await ask(path, **{"X-Request-ID": sent})).answer_headers["x-request-id"] == sent

    @pytest.mark.parametrize("path", ["/v1/system/ping", "/api/v1/chats/0/completions", "/nowhere"])
    @pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 65, "a\tb", 'a"b', "ü", "a,b", "<script>", "${jndi}"])
    async def test_a_bad_one_is_replaced(self, path: str, sent: str):
        given = (await ask(path, **{"X-Request-ID": sent})).answer_headers["x-request-id"]
        assert given != sent
        assert len(given) == 12

    async def test_refusals_have_one(self, settings: Any):
        settings.MAX_UPLOAD_BYTES = 3
        refused = await ask("/v1/user/login", "POST", {"email": "x"}, **{"X-Request-ID": "mine"})
        assert (refused.status, refused.answer_headers["x-request-id"]) == (413, "mine")

    def test_without_asgi(self):
        assert API(None).get("/v1/system/ping", headers={"X-Request-ID": "mine"}).headers["X-Request-Id"] == "mine"

    async def test_a_request_is_one_line_with_its_tenant(self, written: Written, api: Any):
        bearer = api.defaults["HTTP_AUTHORIZATION"]
        for path in ("/api/v1/datasets", "/api/v1/openai/models"):
            await ask(path, Authorization=bearer, **{"X-Request-ID": "mine"})
        await ask("/planted")
        first, second, third = written.of("ragflow.access")
        for line, route in ((first, "api/v1/datasets"), (second, "api/v1/openai/models")):
            assert (line["route"], line["status"], line["method"]) == (route, 200, "GET")
            assert (line["request_id"], line["tenant"]) == ("mine", api.tenant.pk)
        assert (third["status"], third["message"].split(" (")[0]) == (404, "GET")
        assert "tenant" not in third
        assert "planted" not in written.text

    async def test_requests_do_not_mix(self, written: Written, api: Any, other: Any):
        async def one(client: Any, name: str) -> None:
            bearer = client.defaults["HTTP_AUTHORIZATION"]
            await ask("/api/v1/datasets", Authorization=bearer, **{"X-Request-ID": name})

        await asyncio.gather(*(one(client, f"{client.tenant.pk}-{n}") for n in range(4) for client in (api, other)))
        lines = written.of("ragflow.access")
        assert len(lines) == 8
        for line in lines:
            assert line["request_id"].startswith(line["tenant"])


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
async def test_no_secret_is_written(written: Written, settings: Any, monkeypatch: pytest.MonkeyPatch):
    """Every kind of secret through real requests, those that fail in the middle included, at every log level."""
    settings.REGISTRATION_OPEN = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = await in_database(create_account, email="ada@example.org", password=PLANTED)
    tenant = await in_database(user.tenants.get)
    session = (await in_database(start_session, user=user)).token
    issued = await in_database(create_token, tenant=tenant)
    secrets = {PLANTED, session, issued.secret, "planted-provider-key", encrypted(PLANTED).replace("\n", "")}

    made = orjson.loads((await ask("/v1/system/new_token", "POST", Authorization=session)).content)["data"]
    secrets |= {made["token"], made["beta"]}
    login = {"email": "ada@example.org", "password": encrypted(PLANTED)}
    requests: list[tuple[str, str, Any, str]] = [
        ("POST", "/v1/user/login", login | {"password": PLANTED + "wrong"}, ""),
        ("POST", "/v1/user/login", {"email": PLANTED, "password": PLANTED}, ""),
        ("POST", "/v1/user/register", {"email": "b@example.org", "nickname": "", "password": PLANTED}, ""),
        ("POST", "/v1/user/setting", {"password": PLANTED, "new_password": 7}, session),
        ("POST", "/v1/llm/set_api_key", {"llm_factory": "OpenAI", "api_key": "planted-provider-key"}, session),
        ("POST", "/v1/llm/add_llm", {"llm_factory": "x", "api_key": "planted-provider-key"}, session),
        ("GET", f"/api/v1/datasets/{made['token']}", None, f"Bearer {made['token']}"),
        ("GET", f"/api/v1/datasets/{made['token']}/documents", None, f"Bearer {made['token']}"),
        ("POST", "/api/v1/chatbots/x/completions", {"question": "x"}, f"Bearer {made['beta']}"),
        ("GET", f"/v1/user/info/{session}", None, f"Bearer {session}"),
        ("POST", f"/v1/system/token/{made['token']}/rotate", {"overlap_seconds": "x"}, session),
        ("DELETE", f"/v1/system/token/{issued.secret}", None, session),
    ]
    for method, path, body, authorization in requests:
        await ask(path, method, body, **({"Authorization": authorization} if authorization else {}))

    def explode(*_args: object, **_options: object) -> None:
        raise RuntimeError("broken on purpose")

    for target in ("user_by_email", "user_by_session", "tenant_or_none", "token_by_secret", "share_token_by_secret"):
        with monkeypatch.context() as patch:
            patch.setattr(f"apps.accounts.selectors.{target}", explode)
            for method, path, body, authorization in requests:
                await ask(path, method, body, **({"Authorization": authorization} if authorization else {}))

    assert "broken on purpose" in written.text
    everything = written.text + written.streams["json"].getvalue() + await in_database(dump)
    for secret in secrets:
        assert secret not in everything
    assert not mail.outbox
