"""Login through Feishu, which speaks JSON in envelopes and wants a token of the application first."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from apps.accounts.identity.channels import read_channels
from apps.accounts.models import User
from tests.apps.accounts.conftest import Web
from tests.apps.accounts.test_external_logins import come_back, leave, log_in, provider, use
from tests.apps.accounts.test_secrecy import dump, everything_logged
from tests.tools.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

__all__ = ["everything_logged", "provider", "use"]


@pytest.fixture
def feishu(provider: IdentityProvider, use: Any) -> IdentityProvider:
    use("feishu", email_verified=True)
    return provider


def test_a_new_person(anonymous: Web, feishu: IdentityProvider):
    told = log_in(anonymous, feishu)
    info = Web(told["auth"]).call("GET", "/v1/user/info")["data"]
    assert (info["email"], info["nickname"], info["login_channel"]) == ("eve@example.org", "Eve", "corp")
    assert User.objects.get().is_email_proven


def test_an_account_of_the_same_address(ada: Web, anonymous: Web, feishu: IdentityProvider):
    feishu.claims |= {"email": "ADA@example.org"}
    assert "auth" in log_in(anonymous, feishu)
    assert User.objects.get().pk == ada.user.pk


def test_it_does_not_say_that_an_address_is_verified(ada: Web, anonymous: Web, feishu: IdentityProvider, use: Any):
    use("feishu")
    feishu.claims |= {"email": "ada@example.org"}
    assert log_in(anonymous, feishu) == {"error": "email_not_verified"}


@pytest.mark.parametrize("email", [None, "", 7])
def test_no_address(anonymous: Web, feishu: IdentityProvider, email: Any):
    feishu.claims |= {"email": email}
    assert log_in(anonymous, feishu) == {"error": "email_missing"}


@pytest.mark.parametrize("scope", ["", "contact:user.id:readonly"])
def test_the_address_may_not_be_read(anonymous: Web, feishu: IdentityProvider, scope: str):
    feishu.granted_scope = scope
    assert log_in(anonymous, feishu) == {"error": "contact:user.email:readonly not in scope"}


def test_what_the_browser_is_sent_with(anonymous: Web, feishu: IdentityProvider):
    sent = {name: values[0] for name, values in parse_qs(urlsplit(leave(anonymous)).query).items()}
    assert sent.keys() == {"client_id", "redirect_uri", "response_type", "state", "scope"}
    assert (sent["client_id"], sent["scope"]) == (CLIENT_ID, "contact:user.email:readonly")


def test_another_browser_ends_nothing(anonymous: Web, feishu: IdentityProvider):
    address = feishu.visit(leave(anonymous))
    assert come_back(Web(), address) == {"error": "invalid_state"}
    assert not feishu.asked


@pytest.mark.parametrize("path", ["/app-token", "/user-token", "/user-info"])
@pytest.mark.parametrize(
    "broken",
    [
        (500, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"code": 99991663, "msg": "no", "data": {"email": "eve@example.org"}}'),
        (200, b'{"code": 0, "data": "x"}'),
        (200, b'{"code": 0, "app_access_token": "a\\nb", "data": {"access_token": 7}}'),
    ],
)
def test_a_broken_provider(anonymous: Web, feishu: IdentityProvider, path: str, broken: tuple[int, bytes]):
    feishu.broken = {path: broken}
    assert log_in(anonymous, feishu)["error"] in {
        "token_failed",
        "contact:user.email:readonly not in scope",
        "email_missing",
    }
    assert not User.objects.exists()


def test_a_secret_that_is_not_the_applications(anonymous: Web, feishu: IdentityProvider, use: Any):
    use("feishu", email_verified=True, client_secret="another")
    assert log_in(anonymous, feishu) == {"error": "token_failed"}


def test_the_contracts_callback_and_names(anonymous: Web, provider: IdentityProvider, settings: Any):
    settings.REGISTRATION_OPEN = True
    channel = {
        "type": "feishu",
        "app_id": CLIENT_ID,
        "app_secret": CLIENT_SECRET,
        "authorization_url": f"{provider.url}/authorize",
        "app_access_token_url": f"{provider.url}/app-token",
        "user_access_token_url": f"{provider.url}/user-token",
        "userinfo_url": f"{provider.url}/user-info",
        "redirect_uri": "http://testserver/v1/user/feishu_callback",
        "email_verified": True,
    }
    settings.LOGIN_CHANNELS = read_channels(json.dumps({"feishu": channel}))
    address = provider.visit(leave(anonymous, "feishu"))
    assert urlsplit(address).path == "/v1/user/feishu_callback"
    assert "auth" in come_back(anonymous, address)


def test_feishus_own_addresses_are_known():
    entry = {"type": "feishu", "client_id": "x", "client_secret": "y", "redirect_uri": "https://a.example"}
    channel = read_channels(json.dumps({"feishu": entry}))["feishu"]
    places = (channel.authorization_url, channel.app_token_url, channel.token_url, channel.userinfo_url)
    assert {urlsplit(place).netloc for place in places} == {"accounts.feishu.cn", "open.feishu.cn"}
    with pytest.raises(ValueError, match="feishu lacks `client_secret`"):
        read_channels(json.dumps({"feishu": entry | {"client_secret": ""}}))


def test_no_secret_is_written(anonymous: Web, feishu: IdentityProvider, everything_logged: pytest.LogCaptureFixture):
    told = log_in(anonymous, feishu)
    feishu.broken = {"/user-info": (200, json.dumps({"code": 1, "msg": CLIENT_SECRET}).encode())}
    log_in(anonymous, feishu)
    written = dump() + everything_logged.text
    assert "Login through corp: the profile: refused" in written
    codes = [body["code"] for body in feishu.asked]
    for secret in (told["auth"], *codes, CLIENT_SECRET, "planted-app-token", "planted-access-token"):
        assert secret not in written
