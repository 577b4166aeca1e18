from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.test import Client
from django.utils import timezone

from apps.accounts import services, session_tokens
from apps.accounts.models import User
from apps.accounts.passwords import encoded
from apps.accounts.services.sessions import start_session
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted, wrapped

UNAUTHORIZED = {"code": 401, "message": "<Unauthorized '401: Unauthorized'>", "data": None}
USER_FIELDS = {
    "id", "email", "nickname", "avatar", "language", "color_schema", "timezone", "last_login_time", "is_authenticated",
    "is_active", "is_anonymous", "login_channel", "status", "is_superuser", "create_time", "create_date",
    "update_time", "update_date",
}  # fmt: skip


def outcome(answer):
    return {name: answer[name] for name in ("code", "message", "data") if name in answer}


def failed(code: int, message: str):
    return {"code": code, "message": message, "data": False}


def refused(web: Web) -> bool:
    answer = web.call("GET", "/v1/user/info")
    assert answer["code"] in {0, 401}
    assert answer["code"] == 0 or (answer["status"] == 401 and outcome(answer) == UNAUTHORIZED)
    return answer["code"] == 401


class TestRegistration:
    BODY = {"email": "new@example.org", "nickname": "New", "password": "x"}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _open(self, settings, profile):
        settings.REGISTRATION_OPEN = True

    def register(self, web: Web, **changes):
        return web.call("POST", "/v1/user/register", self.BODY | {"password": encrypted("abc")} | changes)

    def test_it_answers_with_the_user_and_a_session(self, anonymous: Web):
        answer = self.register(anonymous, nickname="")
        assert answer["message"] == ", welcome aboard!"
        assert set(answer["data"]) == USER_FIELDS
        assert answer["data"]["timezone"] == "UTC+8\tAsia/Shanghai"
        assert answer["headers"]["Access-Control-Allow-Origin"] == "*"
        assert answer["headers"]["Access-Control-Expose-Headers"] == "Authorization"
        assert not refused(Web(answer["headers"]["Authorization"]))

    @pytest.mark.parametrize(
        "email",
        ["", "ada", "a+b@example.org", "a b@example.org", "ada@example", "ada@example.org\n", "ädä@example.org"],
    )
    def test_addresses_are_checked(self, anonymous: Web, email: str, profile: str):
        answer = self.register(anonymous, email=email)
        assert outcome(answer) == failed(103, f"Invalid email address: {email}!")
        assert answer["status"] == (400 if profile == "standard" else 200)

    @pytest.mark.parametrize("email", ["a.b_c-d@example.org", "ADA@mail.example.org", "_@x.yy"])
    def test_good_addresses(self, anonymous: Web, email: str):
        assert self.register(anonymous, email=email)["data"]["email"] == email

    @pytest.mark.parametrize("email", ["ada@example.org", "ADA@Example.org", "admin@ragflow.io"])
    def test_taken_addresses(self, anonymous: Web, ada: Web, email: str, profile: str):
        answer = self.register(anonymous, email=email)
        assert outcome(answer) == failed(103, f"Email: {email} has already registered!")
        assert answer["status"] == (409 if profile == "standard" else 200)

    def test_closed(self, anonymous: Web, settings, profile: str):
        settings.REGISTRATION_OPEN = False
        answer = self.register(anonymous)
        assert outcome(answer) == failed(103, "User registration is disabled!")
        assert answer["status"] == (403 if profile == "standard" else 200)
        assert not User.objects.exists()

    @pytest.mark.parametrize("password", [None, "", 5, wrapped(b"\1" * 256), {"a": 1}])
    def test_an_unreadable_password_makes_no_account(self, anonymous: Web, password: object, profile: str):
        answer = self.register(anonymous, password=password)
        assert answer["code"] == (101 if profile == "standard" else 100)
        assert not User.objects.exists()

    @pytest.mark.parametrize("body", [{}, "text", [1], {"nickname": 1}])
    def test_missing_arguments(self, anonymous: Web, body: object):
        answer = anonymous.call("POST", "/v1/user/register", body)
        missing = "email,password" if isinstance(body, dict) and body else "nickname,email,password"
        assert outcome(answer) == {
            "code": 101, "message": f"required argument are missing: {missing}; ", "data": None
        }  # fmt: skip

    @pytest.mark.parametrize(
        "changes", [{"nickname": "x" * 101}, {"nickname": "\0"}, {"nickname": 5}, {"email": ["a"]}]
    )
    def test_bad_values_name_their_field(self, anonymous: Web, changes: dict[str, object]):
        answer = self.register(anonymous, **changes)
        assert answer["code"] == 101
        assert f"<{next(iter(changes))}>" in answer["message"]


class TestLogin:
    def login(self, web: Web, method: str = "POST", **body):
        return web.call(method, "/v1/user/login", body)

    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_with_the_right_password(self, ada: Web, anonymous: Web, method: str, profile: str):
        answer = self.login(anonymous, method, email="ADA@example.org", password=encrypted(PASSWORD))
        assert (answer["code"], answer["message"]) == (0, "Welcome back!")
        assert set(answer["data"]) == USER_FIELDS
        assert refused(ada)  # only one session per user is alive
        assert not refused(Web(answer["headers"]["Authorization"]))

    def test_nothing_sent(self, anonymous: Web, profile: str):
        assert outcome(self.login(anonymous)) == failed(109, "Unauthorized!")
        assert outcome(anonymous.call("GET", "/v1/user/login")) == failed(109, "Unauthorized!")

    def test_the_reserved_administrator(self, anonymous: Web, profile: str):
        answer = self.login(anonymous, email="admin@ragflow.io", password=encrypted("admin"))
        assert outcome(answer) == failed(109, "Default admin account cannot be used to login normal services!")

    @pytest.mark.parametrize(
        ("email", "password", "exact"),
        [
            ("no@example.org", encrypted, (109, "Email: no@example.org is not registered!")),
            ("", encrypted, (109, "Email:  is not registered!")),
            ("ada@example.org", None, (500, "Fail to crypt password")),
            ("ada@example.org", "", (500, "Fail to crypt password")),
            ("ada@example.org", 5, (500, "Fail to crypt password")),
            ("ada@example.org", "not encrypted", (500, "Fail to crypt password")),
            ("ada@example.org", wrapped(b"\1" * 256), (500, "Fail to crypt password")),
            ("ada@example.org", encrypted, (109, "Email and password do not match!")),
        ],
    )
    def test_wrong_credentials(self, ada: Web, anonymous: Web, profile: str, email, password, exact):
        password = encrypted("wrong") if password is encrypted else password
        answer = self.login(anonymous, email=email, password=password)
        if profile == "exact":
            assert outcome(answer) == failed(*exact)
            assert answer["status"] == 200
        else:  # nobody learns which addresses have accounts
            assert outcome(answer) == failed(109, "Email and password do not match!")
            assert answer["status"] == 401
        assert not refused(ada)

    @pytest.mark.parametrize("email", ["ada@example.org", "no@example.org"])
    @pytest.mark.parametrize("password", ["plain", wrapped(b"\1" * 256), None])
    def test_a_login_hashes_one_password_whatever_is_wrong(self, ada: Web, anonymous: Web, email, password, settings):
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
        User.objects.update(password=f"pbkdf2_sha256${PBKDF2PasswordHasher.iterations}$salt$hash")
        with patch("django.contrib.auth.hashers.PBKDF2PasswordHasher.encode", return_value="x$1$y$z") as encode:
            self.login(anonymous, email=email, password=password)
        assert encode.call_count == 1

    def test_a_disabled_account_is_told_only_with_the_right_password(self, ada: Web, anonymous: Web, profile: str):
        User.objects.update(is_active=False)
        right = self.login(anonymous, email="ada@example.org", password=encrypted(PASSWORD))
        assert outcome(right) == failed(403, "This account has been disabled, please contact the administrator!")
        wrong = self.login(anonymous, email="ada@example.org", password=encrypted("wrong"))
        assert wrong["code"] == 109
        assert refused(ada)

    def test_a_plain_password_where_that_is_allowed(self, ada: Web, anonymous: Web, settings):
        assert self.login(anonymous, email="ada@example.org", password=PASSWORD)["code"] == 0
        settings.PLAIN_PASSWORDS = False
        assert self.login(anonymous, email="ada@example.org", password=PASSWORD)["code"] == 109

    def test_a_password_set_by_a_client_opens_the_admin_pages(self, anonymous: Web, settings):
        settings.REGISTRATION_OPEN = True
        body = {"email": "op@example.org", "nickname": "", "password": encrypted("pass phrase")}
        anonymous.call("POST", "/v1/user/register", body)
        assert Client().login(username="op@example.org", password="pass phrase")

    def test_the_hash_of_an_older_kind_is_renewed_once(self, ada: Web, anonymous: Web, settings):
        settings.PASSWORD_HASHERS = [
            "django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS
        ]  # fmt: skip
        for _ in range(2):
            assert self.login(anonymous, email="ada@example.org", password=encrypted(PASSWORD))["code"] == 0
            assert User.objects.get().password.startswith("pbkdf2")
        assert Client().login(username="ada@example.org", password=PASSWORD)

    def test_renewing_a_hash_does_not_bring_an_old_password_back(self, ada: Web, anonymous: Web, settings):
        settings.PASSWORD_HASHERS = [
            "django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS
        ]  # fmt: skip
        seen = User.objects.get()
        User.objects.update(password=make_password(encoded("new one")))
        assert seen.check_password(PASSWORD)  # as it was when it was read
        assert User.objects.get().check_password("new one")

    def test_channels(self, anonymous: Web):
        assert anonymous.call("GET", "/v1/user/login/channels")["data"] == []


class TestSessions:
    def test_logout(self, ada: Web, profile: str):
        answer = ada.call("GET", "/v1/user/logout")
        assert outcome(answer) == {"code": 0, "message": "success", "data": True}
        assert refused(ada)
        assert ada.call("GET", "/v1/user/logout")["status"] == 401

    def test_no_page_elsewhere_can_log_somebody_out(self, ada: Web, profile: str):
        """A link leads there with the cookie of the admin pages, which are left by a form of their own."""
        browser = Web()
        browser.force_login(ada.user)
        assert browser.call("GET", "/v1/user/info")["code"] == 0
        assert browser.call("GET", "/v1/user/logout")["status"] == 401
        assert ada.call("GET", "/v1/user/info")["code"] == 0
        browser.authorization = ada.authorization
        assert browser.call("GET", "/v1/user/logout")["code"] == 0

    def test_they_end(self, ada: Web, settings):
        with patch(
            "django.core.signing.time.time", return_value=timezone.now().timestamp() - settings.SESSION_SECONDS - 2
        ):
            old = Web(start_session(user=ada.user).token)
        assert refused(old)

    def test_a_disabled_user_has_none(self, ada: Web):
        User.objects.update(is_active=False)
        assert refused(ada)

    def test_another_installation_signs_differently(self, ada: Web, settings):
        settings.SECRET_KEY = "another secret key of forty characters..."
        assert refused(ada)

    def test_what_the_database_knows_opens_nothing(self, ada: Web):
        digest = User.objects.get().session_digest
        for forged in (digest, f"Bearer {digest}", session_tokens.token_of(digest)):
            assert refused(Web(forged))

    def test_every_changed_character_matters(self, ada: Web):
        token = ada.authorization
        for position in range(len(token)):
            changed = "A" if token[position] != "A" else "B"
            # The last character of base64 holds bits that do not count; equality of the text is what is compared.
            assert refused(Web(token[:position] + changed + token[position + 1 :]))

    def test_headers_that_are_no_credentials(self, ada: Web, api, profile: str):
        token, secret = ada.authorization, services.create_token(tenant=api.tenant).secret
        for header in (
            *(f"Bearer {token}", f"{token} {token}", f"{token},{token}", token[:-1], f"{token}="),
            *(secret, f"Bearer {secret} more", f"Bearer {secret},Bearer {secret}", f"Bearer{secret}"),
            *("Bearer", "Bearer ", " ", "Bearer  x", "Bearer \0", "\0", "..", "a.b.c"),
            *("x" * 10_000, "Bearer " + "x" * 10_000, "." * 10_000),
            *("Bearer ümläut", "ü", "ü.ü.ü", "\udcff"),
        ):
            assert refused(Web(header)), header
        assert not refused(Web(f"Bearer   {secret}"))
        assert not refused(Web(f"whatever\t{secret}"))

    def test_a_session_is_no_api_key(self, ada: Web):
        for header in (ada.authorization, f"Bearer {ada.authorization}"):
            assert Web(header).call("GET", "/api/v1/datasets")["status"] == 401


class TestBrowsers:
    """A person with Django's session cookie may use the API pages, and other sites may not use that cookie."""

    @pytest.fixture
    def browser(self, ada: Web) -> Web:
        browser = Web(enforce_csrf_checks=True)
        browser.force_login(ada.user)
        return browser

    def test_reading(self, browser: Web):
        assert browser.call("GET", "/v1/user/info")["data"]["email"] == "ada@example.org"

    def test_writing_needs_the_csrf_token(self, browser: Web):
        answer = browser.call("POST", "/v1/user/setting", {"nickname": "Eve"})
        assert answer["status"] == 403
        assert User.objects.get().nickname == "Ada"

    def test_credentials_in_the_header_need_none(self, browser: Web, ada: Web):
        browser.authorization = ada.authorization
        assert browser.call("POST", "/v1/user/setting", {"nickname": "Countess"})["code"] == 0
        browser.authorization = "Bearer wrong"  # and the cookie does not help wrong ones
        assert browser.call("GET", "/v1/user/info")["status"] == 401


def test_sessions_outlive_everything_but_logins_and_logouts(ada: Web):
    User.objects.update(updated_at=timezone.now() + timedelta(days=1), nickname="Countess")
    services.create_token(tenant=ada.user.tenants.get())
    assert not refused(ada)
