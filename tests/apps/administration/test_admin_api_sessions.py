"""Coming and going at the admin API, and who is let in."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import create_token
from apps.administration import urls
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted
from tests.apps.administration.conftest import PATH, outcome

OPEN = {"ping", "login", "auth"}
PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>401 Unauthorized</title>\n<h1>Unauthorized</h1>\n<p>The server could not "
    "verify that you are authorized to access the URL requested. You either supplied the wrong credentials (e.g. a bad "
    "password), or your browser doesn&#39;t understand how to supply the credentials required.</p>\n"
)


def routes() -> list[tuple[str, str]]:
    """Return method and path of every operation."""
    found = []
    for pattern in urls.urlpatterns:
        route = str(pattern.pattern).removeprefix(PATH.lstrip("/"))
        for name in ("<str:username>", "<str:key>", "<str:number>", "<str:type_name>", "<str:role>"):
            route = route.replace(name, "nobody@example.org")
        found += [(method.upper(), route) for method in pattern.callback.actions if method != "head"]
    return found


def test_there_are_36_operations_and_keys_have_two_spellings():
    assert len(routes()) == 36 + 3


def login(web: Web, email: str = "root@example.org", password: object = None):
    return web.call("POST", f"{PATH}login", {"email": email, "password": password or encrypted(PASSWORD)})


class TestWhoIsLetIn:
    """Every operation, every kind of caller."""

    def refuses(self, caller: Web, *, but: set[str] = OPEN) -> None:
        for method, route in routes():
            if route in but:
                continue
            answer = caller.send(method, PATH + route)
            assert answer.status_code == 401, (method, route)
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8", (method, route)
            assert answer.content.decode() == PAGE, (method, route)

    def test_anonymous(self, anonymous: Web, profile: str):
        self.refuses(anonymous)

    def test_api_tokens_of_an_administrator(self, root: Web, profile: str):
        from apps.accounts.models import Tenant

        secret = create_token(tenant=Tenant.objects.get(pk=root.user.pk)).secret
        self.refuses(Web(f"Bearer {secret}"))
        self.refuses(Web(secret))
        self.refuses(Web(f"Bearer {root.authorization}"))

    def test_after_logout(self, root: Web, profile: str):
        assert root.call("GET", f"{PATH}logout")["data"] is True
        self.refuses(root)

    def test_expired_and_forged_sessions(self, root: Web, settings, profile: str):
        self.refuses(Web(root.authorization[:-2] + "xx"))
        settings.SESSION_SECONDS = -1
        self.refuses(root)

    def test_an_earlier_session(self, root: Web, anonymous: Web):
        assert login(anonymous)["code"] == 0
        self.refuses(root)

    def test_ordinary_users(self, ada: Web, profile: str):
        for method, route in routes():
            if route not in OPEN | {"logout"}:
                assert outcome(ada.call(method, PATH + route)) == (403, 403, "Not admin"), (method, route)
        assert ada.call("GET", f"{PATH}logout")["data"] is True

    def test_deactivated_administrators(self, root: Web, profile: str):
        User.objects.filter(pk=root.user.pk).update(is_active=False)
        for method, route in routes():
            if route not in OPEN | {"logout"}:
                expected = (403, 403, "User root@example.org inactive")
                assert outcome(root.call(method, PATH + route)) == expected, (method, route)

    def test_a_deleted_administrator(self, root: Web):
        root.user.delete()
        self.refuses(root)


class TestLogin:
    def test_a_login(self, root: Web, anonymous: Web, profile: str):
        before = timezone.now()
        answer = login(anonymous)
        assert (answer["status"], answer["code"], answer["message"]) == (200, 0, "Welcome back!")
        assert answer["data"]["email"] == "root@example.org"
        assert answer["data"]["is_superuser"] is True
        assert not {"password", "access_token"} & set(answer["data"])
        assert User.objects.get(pk=root.user.pk).last_login >= before
        web = Web(answer["headers"]["Authorization"])
        assert web.call("GET", f"{PATH}version")["code"] == 0
        assert web.call("GET", "/v1/user/info")["code"] == 0

    def test_a_session_of_the_web_api_is_one_here(self, root: Web, anonymous: Web):
        answer = anonymous.call(
            "POST", "/v1/user/login", {"email": "root@example.org", "password": encrypted(PASSWORD)}
        )
        assert Web(answer["headers"]["Authorization"]).call("GET", f"{PATH}users")["code"] == 0

    def test_the_cookie_reads_and_does_not_disturb_the_header(self, root: Web, settings):
        browser = Web(enforce_csrf_checks=True)
        answer = login(browser)
        cookie = browser.cookies["ragflow_admin"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/api/v1/admin")
        assert browser.call("GET", f"{PATH}users")["code"] == 0
        body = {"username": "new@example.org", "password": encrypted("x")}
        assert browser.send("POST", f"{PATH}users").status_code == 401
        browser.authorization = answer["headers"]["Authorization"]
        assert browser.call("POST", f"{PATH}users", body)["code"] == 0
        assert browser.call("PUT", f"{PATH}users/new@example.org/activate", {"activate_status": "off"})["code"] == 0
        assert browser.call("DELETE", f"{PATH}users/new@example.org")["code"] == 0
        browser.call("GET", f"{PATH}logout")
        browser.authorization = ""
        assert browser.send("GET", f"{PATH}users").status_code == 401

    def test_refusals(self, root: Web, ada: Web, anonymous: Web, profile: str):
        assert outcome(anonymous.call("POST", f"{PATH}login", {})) == (400, 400, "Authorize admin failed.")
        assert outcome(anonymous.call("POST", f"{PATH}login")) == (400, 400, "Authorize admin failed.")
        no_match = "Email and password do not match!"
        unknown = "User 'no@example.org' not found" if profile == "exact" else no_match
        assert outcome(login(anonymous, "no@example.org")) == (400, 500, unknown)
        assert outcome(login(anonymous, password=encrypted("wrong"))) == (400, 500, no_match)
        status, code, message = outcome(login(anonymous, password=[1]))
        assert (status, code) == (400, 500)
        assert message
        assert outcome(login(anonymous, "ada@example.org")) == (400, 500, "Not admin")
        User.objects.filter(pk=root.user.pk).update(is_active=False)
        assert outcome(login(anonymous)) == (400, 500, "User root@example.org inactive")

    def test_failures_are_counted_with_those_of_the_web_api(self, root: Web, anonymous: Web, profile: str):
        for _ in range(10):
            login(anonymous, password=encrypted("wrong"))
            anonymous.call("POST", "/v1/user/login", {"email": "root@example.org", "password": encrypted("wrong")})
        answer = login(anonymous)
        assert (answer["status"], answer["code"], answer["data"]) == (429, 429, None)
        assert int(answer["headers"]["Retry-After"]) > 0

    def test_a_body_that_is_no_object(self, anonymous: Web, profile: str):
        for content in (b"[1]", b"{", b'"text"', b"null"):
            answer = anonymous.send("POST", f"{PATH}login", content)
            assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (400, 500, None)

    def test_the_default_address_may_log_in_here_only(self, new_person: Callable[..., Web], anonymous: Web):
        new_person("admin@ragflow.io", is_operator=True)
        assert login(anonymous, "admin@ragflow.io")["code"] == 0
        body = {"email": "admin@ragflow.io", "password": encrypted(PASSWORD)}
        assert anonymous.call("POST", "/v1/user/login", body)["code"] == 109


class TestBasic:
    def ask(self, anonymous: Web, credentials: str | None):
        if credentials is not None:
            anonymous.authorization = "Basic " + base64.b64encode(credentials.encode()).decode()
        answer = anonymous.call("GET", f"{PATH}auth")
        return answer["status"], answer["code"], answer["message"], answer["data"]

    def test_outcomes(self, root: Web, ada: Web, anonymous: Web, profile: str):
        text = base64.b64encode(PASSWORD.encode()).decode()
        required = (200, 401, "Authentication required", None)
        denied = (200, 500, "Access denied", None)
        assert self.ask(anonymous, None) == required
        assert self.ask(anonymous, "root@example.org") == required
        assert self.ask(anonymous, f"root@example.org:{PASSWORD}") == denied
        assert self.ask(anonymous, f"nobody@example.org:{text}") == denied
        assert self.ask(anonymous, f"ada@example.org:{text}") == denied
        assert self.ask(anonymous, f"root@example.org:{text}") == (200, 0, "Admin is authorized", None)
        anonymous.authorization = "Basic !"
        assert self.ask(anonymous, None) == required


def test_ping_unknown_paths_and_methods(anonymous: Web, profile: str):
    answer = anonymous.call("GET", f"{PATH}ping")
    assert (answer["status"], answer["code"], answer["message"], answer["data"]) == (200, 0, "Success", "PONG")
    assert anonymous.call("GET", f"{PATH}nothing")["status"] == 404
    assert outcome(anonymous.call("PATCH", f"{PATH}users")) == (405, 405, "Method Not Allowed")


@pytest.mark.parametrize("days", [1, 13])
def test_a_login_lasts(root: Web, monkeypatch: pytest.MonkeyPatch, days: int):
    later = timezone.now() + timedelta(days=days)
    monkeypatch.setattr("django.core.signing.time.time", later.timestamp)
    assert root.call("GET", f"{PATH}version")["code"] == 0
