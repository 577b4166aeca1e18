from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest
from django.db import connections
from django.test import Client, RequestFactory

from apps.accounts import services, throttles
from apps.accounts.models import RateCounter
from apps.accounts.throttles import Limit, failures_count, hit
from apps.core.errors import TooManyRequests
from apps.core.http import client_address
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted

LIMIT = Limit("tests", 3, 60)


@pytest.fixture(autouse=True)
def _still(request: pytest.FixtureRequest):
    """Let no window end during a test."""
    with patch("apps.accounts.throttles.time", return_value=4_000_000_040.0):
        yield


@pytest.mark.django_db
class TestCounting:
    def test_up_to_the_limit(self):
        for _ in range(3):
            hit(LIMIT, "a")
        hit(LIMIT, "b")
        with pytest.raises(TooManyRequests) as caught:
            hit(LIMIT, "a")
        assert caught.value.headers == {"Retry-After": "40"}

    def test_the_next_window_begins_anew_and_forgets_the_last(self):
        for _ in range(3):
            hit(LIMIT, "a")
        RateCounter.objects.update(expires_at="2020-01-01T00:00:00Z")
        with patch("apps.accounts.throttles.time", return_value=4_000_000_100.0):
            hit(LIMIT, "a")
        assert RateCounter.objects.get().count == 1

    def test_what_succeeds_does_not_count(self):
        for _ in range(10):
            with failures_count((LIMIT, "a")):
                pass
        for _ in range(3):
            with pytest.raises(ValueError, match="wrong"), failures_count((LIMIT, "a")):
                raise ValueError("wrong")
        with pytest.raises(TooManyRequests), failures_count((LIMIT, "a")):
            pytest.fail("must not be tried")


@pytest.mark.django_db(transaction=True)
def test_callers_at_the_same_time_share_one_limit():
    def call(_number: int) -> bool:
        try:
            hit(LIMIT, "a")
        except TooManyRequests:
            return False
        else:
            return True
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(call, range(24))) == LIMIT.count


def login(web: Web, password: str, email: str = "ada@example.org"):
    return web.call("POST", "/v1/user/login", {"email": email, "password": encrypted(password)})


def test_guessing_a_password(ada: Web, anonymous: Web, profile: str):
    for _ in range(throttles.LOGIN_OF_ACCOUNT.count):
        assert login(anonymous, "wrong")["code"] == 109
    answer = login(anonymous, PASSWORD)
    assert (answer["status"], answer["code"]) == (429, 429)
    assert int(answer["headers"]["Retry-After"]) > 0
    assert login(anonymous, PASSWORD, "ADA@example.org")["status"] == 429
    assert login(anonymous, "x", "other@example.org")["code"] == 109
    assert ada.call("GET", "/v1/user/info")["code"] == 0  # who is logged in stays so
    assert ada.call("POST", "/v1/user/setting", {"password": encrypted(PASSWORD)})["code"] == 0


def test_guessing_elsewhere_does_not_lock_the_holder_out(ada: Web, anonymous: Web, profile: str):
    assert login(anonymous, PASSWORD)["code"] == 0
    elsewhere = Web(REMOTE_ADDR="203.0.113.9")
    for _ in range(throttles.LOGIN_OF_ACCOUNT.count):
        assert login(elsewhere, "wrong")["code"] == 109
    assert login(elsewhere, PASSWORD)["status"] == 429
    assert login(Web(REMOTE_ADDR="203.0.113.10"), PASSWORD)["status"] == 429
    assert login(anonymous, PASSWORD)["code"] == 0
    assert Client().login(username="ada@example.org", password=PASSWORD) is False  # from nowhere
    for _ in range(throttles.LOGIN_FROM_KNOWN_ADDRESS.count):
        assert login(anonymous, "wrong")["code"] == 109
    assert login(anonymous, PASSWORD)["status"] == 429


def test_an_address_is_forgotten_in_time(ada: Web, anonymous: Web):
    assert login(anonymous, PASSWORD)["code"] == 0
    elsewhere = Web(REMOTE_ADDR="203.0.113.9")
    later = 4_000_000_040.0 + throttles.KNOWN_SECONDS
    with patch("apps.accounts.throttles.time", return_value=later):
        for _ in range(throttles.LOGIN_OF_ACCOUNT.count):
            login(elsewhere, "wrong")
        assert login(anonymous, PASSWORD)["status"] == 429


def test_guessing_the_current_password(ada: Web, profile: str):
    for _ in range(throttles.PASSWORD_OF_LOGIN.count):
        answer = ada.call("POST", "/v1/user/setting", {"password": encrypted("wrong")})
        assert answer["message"] == "Password error!"
    assert ada.call("POST", "/v1/user/setting", {"password": encrypted(PASSWORD)})["status"] == 429


def test_guessing_at_the_admin_pages(ada: Web, anonymous: Web):
    def enter(password: str) -> int:
        return Client().post("/admin/login/", {"username": "Ada@example.org", "password": password}).status_code

    ada.user.is_staff = True
    ada.user.save()
    assert enter(PASSWORD) == 302
    for _ in range(throttles.LOGIN_OF_ACCOUNT.count):
        assert enter("wrong") == 200
    assert enter(PASSWORD) == 200
    assert login(anonymous, PASSWORD)["status"] == 429


def test_logging_in_often_is_no_guessing(ada: Web, anonymous: Web):
    for _ in range(throttles.LOGIN_OF_ACCOUNT.count + 5):
        assert login(anonymous, PASSWORD)["code"] == 0


def test_registering_without_end(anonymous: Web, settings):
    settings.REGISTRATION_OPEN = True
    with patch.object(throttles, "REGISTRATION_FROM_ADDRESS", Limit("registration", 2, 60)):
        body = {"nickname": "", "password": encrypted("x")}
        codes = [
            anonymous.call("POST", "/v1/user/register", body | {"email": f"a{number}@example.org"})["code"]
            for number in range(4)
        ]
        elsewhere = Web(REMOTE_ADDR="203.0.113.9")
        assert elsewhere.call("POST", "/v1/user/register", body | {"email": "b@example.org"})["code"] == 0
    assert codes == [0, 0, 429, 429]


def test_a_tokens_own_limit(ada: Web, profile: str):
    issued = services.create_token(tenant=ada.user.tenants.get(), requests_per_minute=2)
    token = Web(f"Bearer {issued.secret}")
    assert [token.call("GET", path)["status"] for path in ("/v1/user/info", "/api/v1/datasets")] == [200, 200]
    answer = token.call("GET", "/api/v1/datasets")
    assert (answer["status"], answer["code"], answer["headers"]["Retry-After"]) == (429, 429, "40")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.7", "127.0.0.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        (2, "1.1.1.1, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (2, "198.51.100.7", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "nonsense", "unknown"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_whose_address_counts(settings, proxies: int, forwarded: str, address: str):
    settings.PROXIES = proxies
    request = RequestFactory().get("/", headers={"X-Forwarded-For": forwarded} if forwarded else {})
    assert client_address(request) == address
