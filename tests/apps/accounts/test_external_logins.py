"""Login through identity providers, from the browser's side, with a real provider on loopback."""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import signing
from joserfc import jwt
from joserfc.jwk import OctKey

from apps.accounts import throttles
from apps.accounts.identity import providers
from apps.accounts.identity.attempts import COOKIE, LIFE
from apps.accounts.identity.channels import read_channels
from apps.accounts.models import AuditEntry, Membership, User
from tests.apps.accounts.conftest import Web
from tests.apps.accounts.test_secrecy import dump, everything_logged
from tests.tools.identity_provider import CLIENT_ID, CLIENT_SECRET, KEY, STRANGERS_KEY, IdentityProvider

__all__ = ["everything_logged"]

EMAIL = "eve@example.org"
KINDS = ["oidc", "oauth2", "github"]


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    providers._metadata.clear()
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture
def use(provider: IdentityProvider, settings: Any) -> Any:
    """Return a function that configures the channel `corp`; registration is open unless a test closes it."""
    settings.REGISTRATION_OPEN = True

    def configure(kind: str = "oidc", **fields: Any) -> None:
        channels = {"corp": provider.channel(kind, **fields)}
        settings.LOGIN_CHANNELS = read_channels(json.dumps(channels))

    configure()
    return configure


def leave(browser: Web, channel: str = "corp") -> str:
    """Begin a login and return the address at the provider."""
    response = browser.send("GET", f"/v1/user/login/{channel}")
    assert response.status_code == 302, response.content
    assert response.headers["Cache-Control"] == "no-store"
    return response.headers["Location"]


def come_back(browser: Web, address: str) -> dict[str, str]:
    """Follow the provider's redirect and return what the start page is told."""
    parts = urlsplit(address)
    response = browser.send("GET", f"{parts.path}?{parts.query}")
    assert response.status_code == 302
    location = urlsplit(response.headers["Location"])
    assert (location.scheme, location.netloc, location.path) == ("", "", "/")
    assert browser.cookies[COOKIE].value == ""
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def log_in(browser: Web, provider: IdentityProvider) -> dict[str, str]:
    return come_back(browser, provider.visit(leave(browser)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_person(anonymous: Web, provider: IdentityProvider, use: Any, kind: str):
    use(kind, **({"email_verified": True} if kind == "oauth2" else {}))
    told = log_in(anonymous, provider)
    info = Web(told["auth"]).call("GET", "/v1/user/info")["data"]
    assert (info["email"], info["nickname"], info["login_channel"]) == (EMAIL, "Eve", "corp")
    user = User.objects.get()
    assert not user.has_usable_password()
    assert Membership.objects.get().tenant_id == user.pk
    again = log_in(anonymous, provider)
    assert User.objects.count() == 1
    assert Web(again["auth"]).call("GET", "/v1/user/info")["code"] == 0
    assert Web(told["auth"]).call("GET", "/v1/user/info")["status"] == 401  # one login at a time


@pytest.mark.parametrize("kind", KINDS)
def test_an_account_of_the_same_address(ada: Web, anonymous: Web, provider: IdentityProvider, use: Any, kind: str):
    use(kind)
    provider.claims |= {"email": "ADA@example.org"}
    provider.github_emails = [
        {"email": "other@example.org", "primary": False, "verified": True},
        {"email": "ADA@example.org", "primary": True, "verified": True},
    ]
    told = log_in(anonymous, provider)
    assert User.objects.get().pk == ada.user.pk
    info = Web(told["auth"]).call("GET", "/v1/user/info")["data"]
    assert (info["nickname"], info["login_channel"]) == ("Ada", "password")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("email", ["ada@example.org", "new@example.org"])
def test_an_address_that_is_not_verified_opens_nothing(
    ada: Web, anonymous: Web, provider: IdentityProvider, use: Any, kind: str, email: str
):
    use(kind)
    provider.github_emails = [{"email": email, "primary": True, "verified": False}]
    for unverified in ({"email_verified": False}, {"email_verified": "false"}, {"email_verified": None}):
        provider.claims |= {"email": email} | unverified
        assert log_in(anonymous, provider) == {"error": "email_not_verified"}
    provider.claims.pop("email_verified")
    assert log_in(anonymous, provider) == {"error": "email_not_verified"}
    assert User.objects.count() == 1
    refused = AuditEntry.objects.filter(action="refuse login").first()
    assert (refused.object_name, refused.detail) == (email, {"reason": "through corp: email_not_verified"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("email", ["", None, 7])
def test_no_address(anonymous: Web, provider: IdentityProvider, use: Any, kind: str, email: Any):
    use(kind)
    provider.claims |= {"email": email}
    provider.github_emails = [{"email": email, "primary": True, "verified": True}] if email != 7 else {"message": "?"}
    assert log_in(anonymous, provider) == {"error": "email_missing"}


@pytest.mark.parametrize("email", ["\u212aelvin@example.org", "no address", "admin@ragflow.io", "a\0@example.org"])
def test_addresses_that_nobody_gets(anonymous: Web, new_person: Any, provider: IdentityProvider, use: Any, email: str):
    new_person("kelvin@example.org")
    provider.claims |= {"email": email}
    assert "error" in log_in(anonymous, provider)
    assert User.objects.count() == 1


def test_strangers_where_registration_is_closed(
    ada: Web, anonymous: Web, provider: IdentityProvider, use: Any, settings: Any
):
    settings.REGISTRATION_OPEN = False
    assert log_in(anonymous, provider) == {"error": "User registration is disabled!"}
    assert User.objects.count() == 1
    provider.claims |= {"email": "ada@example.org"}
    assert "auth" in log_in(anonymous, provider)
    provider.claims |= {"email": EMAIL}
    use(register=True)  # everybody whom this provider knows
    assert "auth" in log_in(anonymous, provider)
    settings.REGISTRATION_OPEN = True
    use(register=False)
    provider.claims |= {"email": "third@example.org"}
    assert log_in(anonymous, provider) == {"error": "User registration is disabled!"}


def test_no_login_brings_the_cookies_of_another(anonymous: Web, provider: IdentityProvider, use: Any):
    for _ in range(2):
        assert "auth" in log_in(anonymous, provider)
    assert not provider.cookies


def test_a_disabled_account(ada: Web, anonymous: Web, provider: IdentityProvider, use: Any):
    User.objects.update(is_active=False)
    provider.claims |= {"email": "ada@example.org"}
    assert log_in(anonymous, provider) == {"error": "user_inactive"}


class TestAttempts:
    def test_what_the_browser_is_sent_with(self, anonymous: Web, provider: IdentityProvider, use: Any):
        sent = {name: values[0] for name, values in parse_qs(urlsplit(leave(anonymous)).query).items()}
        assert len(sent["state"]) == 32
        assert (sent["client_id"], sent["scope"]) == (CLIENT_ID, "openid email profile")
        cookie = anonymous.cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (
            True,
            "Lax",
            "/v1/user",
            LIFE,
        )
        again = {name: values[0] for name, values in parse_qs(urlsplit(leave(anonymous)).query).items()}
        assert not {sent[name] for name in ("state", "nonce", "code_challenge")} & set(again.values())

    def test_another_browser_ends_nothing(self, anonymous: Web, provider: IdentityProvider, use: Any):
        """Somebody who sends a victim the address of an own callback does not log the victim in."""
        address = provider.visit(leave(anonymous))
        assert come_back(Web(), address) == {"error": "invalid_state"}
        other = Web()
        leave(other)
        assert come_back(other, address) == {"error": "invalid_state"}
        assert not provider.asked  # nor is the code used up
        assert "auth" in come_back(anonymous, address)

    def test_once(self, anonymous: Web, provider: IdentityProvider, use: Any):
        address = leave(anonymous)
        cookie = anonymous.cookies[COOKIE].value
        assert "auth" in come_back(anonymous, provider.visit(address))
        anonymous.cookies[COOKIE] = cookie
        assert come_back(anonymous, provider.visit(address)) == {"error": "invalid_state"}

    def test_soon(self, anonymous: Web, provider: IdentityProvider, use: Any):
        with patch("django.core.signing.time.time", return_value=time.time() - LIFE - 2):
            address = leave(anonymous)
        assert come_back(anonymous, provider.visit(address)) == {"error": "invalid_state"}

    def test_through_the_same_channel(self, anonymous: Web, provider: IdentityProvider, settings: Any, use: Any):
        channels = {name: provider.channel("oidc") for name in ("corp", "other")}
        settings.LOGIN_CHANNELS = read_channels(json.dumps(channels))
        address = provider.visit(leave(anonymous, "other"))
        assert come_back(anonymous, address) == {"error": "invalid_state"}

    @pytest.mark.parametrize("cookie", ["", "x", "a:b:c", "\0", "ü"])
    def test_a_forged_cookie(self, anonymous: Web, provider: IdentityProvider, use: Any, cookie: str):
        address = provider.visit(leave(anonymous))
        anonymous.cookies[COOKIE] = cookie
        assert come_back(anonymous, address) == {"error": "invalid_state"}

    def test_a_cookie_of_something_else(self, anonymous: Web, provider: IdentityProvider, use: Any):
        address = provider.visit(leave(anonymous))
        anonymous.cookies[COOKIE] = signing.dumps({"channel": "corp"})
        assert come_back(anonymous, address) == {"error": "invalid_state"}

    def test_without_a_code(self, anonymous: Web, provider: IdentityProvider, use: Any):
        state = parse_qs(urlsplit(leave(anonymous)).query)["state"][0]
        back = f"/v1/user/oauth/callback/corp?error=access_denied&state={state}"
        assert come_back(anonymous, back) == {"error": "missing_code"}

    @pytest.mark.parametrize("query", ["", "?state=", "?state=%00&code=%00", "?state=%FF&code=x", "?state=a&state=b"])
    def test_callbacks_out_of_nowhere(self, anonymous: Web, use: Any, query: str):
        assert come_back(anonymous, f"/v1/user/oauth/callback/corp{query}") == {"error": "invalid_state"}


class TestTheProvidersWord:
    @pytest.mark.parametrize(
        "change",
        [
            {"aud": "another client"},
            {"aud": ["another client"]},
            {"aud": []},
            {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
            {"iss": "https://elsewhere.example"},
            {"exp": 1},
            {"exp": None},
            {"exp": "soon"},
            {"iat": 99_999_999_999},
            {"nbf": 99_999_999_999},
            {"nonce": "another login's"},
            {"nonce": None},
            {"nonce": ["x"]},
            {"sub": None},
        ],
    )
    def test_a_token_that_is_not_for_this_login(
        self, anonymous: Web, provider: IdentityProvider, use: Any, change: dict[str, Any]
    ):
        provider.change_token = lambda claims: {
            name: value for name, value in (claims | change).items() if value is not None
        }
        assert log_in(anonymous, provider) == {"error": "token_failed"}
        assert not User.objects.exists()

    @pytest.mark.parametrize("way", ["none", "stranger", "public key as secret", "client secret", "cut", "changed"])
    def test_a_token_that_the_issuer_did_not_sign(self, anonymous: Web, provider: IdentityProvider, use: Any, way: str):
        signed = provider.sign

        def unsigned(claims: dict[str, Any]) -> str:
            header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode()
            return f"{header}.{signed(claims).split('.')[1]}."

        def changed(claims: dict[str, Any]) -> str:
            head, _, signature = signed(claims).split(".")
            return f"{head}.{signed(claims | {'email': 'ada@example.org'}).split('.')[1]}.{signature}"

        def hashed(key: bytes) -> Any:
            header = {"alg": "HS256", "kid": "first"}
            return lambda claims: jwt.encode(header, claims, OctKey.import_key(key), algorithms=["HS256"])

        provider.sign = {
            "none": unsigned,
            "stranger": lambda claims: jwt.encode({"alg": "RS256", "kid": "first"}, claims, STRANGERS_KEY),
            "public key as secret": hashed(KEY.as_pem(private=False)),
            "client secret": hashed(CLIENT_SECRET.encode()),
            "cut": lambda claims: signed(claims)[:-10],
            "changed": changed,
        }[way]
        assert log_in(anonymous, provider) == {"error": "token_failed"}
        assert not User.objects.exists()

    def test_several_audiences_of_which_this_client_is_one(self, anonymous: Web, provider: IdentityProvider, use: Any):
        provider.change_token = lambda claims: claims | {"aud": [CLIENT_ID, "api"], "azp": CLIENT_ID}
        assert "auth" in log_in(anonymous, provider)

    def test_a_profile_of_somebody_else(self, anonymous: Web, provider: IdentityProvider, use: Any):
        provider.profile = {"sub": "8", "email": "ada@example.org", "email_verified": True}
        assert log_in(anonymous, provider) == {"error": "token_failed"}

    def test_another_address_in_the_profile_is_not_verified_by_the_token(
        self, ada: Web, anonymous: Web, provider: IdentityProvider, use: Any
    ):
        provider.profile = {"sub": "7", "email": "ada@example.org"}
        assert log_in(anonymous, provider) == {"error": "email_not_verified"}

    def test_an_issuer_without_profiles(self, anonymous: Web, provider: IdentityProvider, use: Any):
        description = provider.description
        provider.description = lambda: {  # type: ignore[method-assign]
            name: value for name, value in description().items() if name != "userinfo_endpoint"
        }
        assert "auth" in log_in(anonymous, provider)

    @pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
    def test_how_the_client_proves_itself(self, anonymous: Web, provider: IdentityProvider, use: Any, methods: Any):
        if methods:
            provider.described = {"token_endpoint_auth_methods_supported": methods}
        assert "auth" in log_in(anonymous, provider)
        assert ("client_secret" in provider.asked[0]) == (methods == ["client_secret_post"])

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("path", ["/token", "/keys", "/userinfo", "/user", "/user/emails"])
    @pytest.mark.parametrize("broken", [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b"\xff")])
    def test_a_broken_provider(
        self, anonymous: Web, provider: IdentityProvider, use: Any, kind: str, path: str, broken: tuple[int, bytes]
    ):
        used = {
            "oidc": {"/token", "/keys", "/userinfo"},
            "oauth2": {"/token", "/userinfo"},
            "github": {"/token", "/user", "/user/emails"},
        }
        use(kind, **({"email_verified": True} if kind == "oauth2" else {}))
        provider.broken = {path: broken}
        told = log_in(anonymous, provider)
        if path not in used[kind]:
            assert "auth" in told
        elif path == "/user/emails" and broken == (200, b"[]"):
            assert told == {"error": "email_missing"}
        else:
            assert told == {"error": "token_failed"}

    @pytest.mark.parametrize("described", [{"issuer": "https://elsewhere.example"}, {"authorization_endpoint": 7}])
    def test_a_broken_description(
        self, anonymous: Web, provider: IdentityProvider, use: Any, described: dict[str, Any], profile: str
    ):
        provider.described = described
        answer = anonymous.call("GET", "/v1/user/login/corp")
        assert (answer["code"], answer["message"]) == (100, "Corp cannot be reached. Try again later.")
        provider.described = {}
        assert "auth" in log_in(anonymous, provider)  # the failure is not remembered for long

    def test_nobody_listens(self, anonymous: Web, provider: IdentityProvider, use: Any):
        use(issuer="http://127.0.0.1:9")
        assert anonymous.call("GET", "/v1/user/login/corp")["code"] == 100

    @pytest.mark.parametrize(("scope", "works"), [("user:email", True), ("user,repo", True), ("repo", False)])
    def test_github_without_its_addresses(
        self, anonymous: Web, provider: IdentityProvider, use: Any, scope: str, works: bool
    ):
        use("github")
        provider.granted_scope = scope
        told = log_in(anonymous, provider)
        assert "auth" in told if works else told == {"error": "user:email not in scope"}

    def test_the_old_callback_of_github(self, anonymous: Web, provider: IdentityProvider, settings: Any, use: Any):
        back = "http://testserver/v1/user/github_callback"
        channels = {"github": provider.channel("github", redirect_uri=back)}
        settings.LOGIN_CHANNELS = read_channels(json.dumps(channels))
        address = provider.visit(leave(anonymous, "github"))
        assert urlsplit(address).path == "/v1/user/github_callback"
        assert come_back(Web(), address) == {"error": "invalid_state"}
        assert "auth" in come_back(anonymous, address)

    @pytest.mark.parametrize(
        "picture", ["http://127.0.0.1:1/a.png", "https://127.0.0.1:1/a.png", "file:///etc/passwd", 7, "https://"]
    )
    def test_pictures_lead_nowhere_into_this_network(
        self, anonymous: Web, provider: IdentityProvider, use: Any, picture: Any
    ):
        provider.claims |= {"picture": picture}
        assert "auth" in log_in(anonymous, provider)
        assert User.objects.get().avatar is None


def test_the_channels(anonymous: Web, provider: IdentityProvider, use: Any, settings: Any, profile: str):
    listed = anonymous.call("GET", "/v1/user/login/channels")
    assert listed["data"] == [{"channel": "corp", "display_name": "Corp", "icon": "sso"}]
    assert CLIENT_SECRET not in str(listed)
    settings.LOGIN_CHANNELS = {}
    assert anonymous.call("GET", "/v1/user/login/channels")["data"] == []


def test_unknown_channels(anonymous: Web, profile: str):
    answer = anonymous.call("GET", "/v1/user/login/nobody")
    texts = {
        "standard": "Invalid channel name: nobody",
        "exact": "ValueError('Invalid channel name: nobody')",
    }
    assert answer["message"] == texts[profile]
    told = come_back(anonymous, "/v1/user/oauth/callback/nobody?code=x&state=y")
    assert told == {"error": "Invalid channel name: nobody"}


def test_redirects_stay_here(anonymous: Web, provider: IdentityProvider, use: Any):
    for query in ("next=https://evil.example", "redirect_uri=https://evil.example", "redirect=//evil.example"):
        response = anonymous.send("GET", f"/v1/user/login/corp?{query}")
        assert "evil" not in response.headers["Location"]
        come_back(anonymous, f"/v1/user/oauth/callback/corp?code=x&state=y&{query}")
    come_back(anonymous, "/v1/user/oauth/callback/%0d%0aSet-Cookie:x=y?code=x")


def test_too_many(anonymous: Web, provider: IdentityProvider, use: Any):
    with patch.object(throttles, "EXTERNAL_LOGIN_FROM_ADDRESS", throttles.Limit("tests", 1, 10**9)):
        leave(anonymous)
        assert anonymous.call("GET", "/v1/user/login/corp")["status"] == 429


def test_no_secret_is_written(
    anonymous: Web, provider: IdentityProvider, use: Any, everything_logged: pytest.LogCaptureFixture
):
    logging.getLogger("httpx2").setLevel(logging.DEBUG)
    told = [log_in(anonymous, provider)["auth"]]
    address = provider.visit(leave(anonymous))
    provider.broken = {"/token": (400, json.dumps({"error": "invalid_grant", "client_secret": CLIENT_SECRET}).encode())}
    come_back(anonymous, address)
    provider.broken = {}
    provider.change_token = lambda claims: claims | {"nonce": "x"}
    log_in(anonymous, provider)
    codes = [parse_qs(urlsplit(address).query)["code"][0]]
    verifiers = [form["code_verifier"] for form in provider.asked]
    written = dump() + everything_logged.text
    assert "Login through corp: the ID token is not good" in written
    for secret in (*told, *codes, *verifiers, CLIENT_SECRET, "planted-access-token"):
        assert secret not in written


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it is not JSON"),
        ("[]", "it must be a JSON object of objects"),
        ('{"a": 1}', "it must be a JSON object of objects"),
        ('{"channels": {}}', "'channels' cannot name a channel"),
        ('{"a/b": {}}', "'a/b' cannot name a channel"),
        ('{"a": {"type": "saml"}}', "the type of a must be one of oauth2, oidc, github, feishu"),
        ('{"a": {"type": "github"}}', "a lacks `client_id`"),
        ('{"a": {"type": "github", "client_id": "x"}}', "a lacks `redirect_uri`"),
        ('{"a": {"client_id": "x", "redirect_uri": "https://a.example"}}', "a lacks `authorization_url`"),
        ('{"a": {"type": "github", "client_id": 7, "redirect_uri": "https://a.example"}}', "must be text"),
        ('{"a": {"type": "github", "client_id": "x", "redirect_uri": "//evil"}}', "must be an https:// address"),
        (
            '{"a": {"issuer": "http://idp.example", "client_id": "x", "redirect_uri": "https://a.example"}}',
            "`issuer` of a must be an https:// address",
        ),
        (
            '{"a": {"issuer": "https://i", "client_id": "x", "redirect_uri": "https://a", "scope": "email"}}',
            "the scope of a must hold openid",
        ),
        (
            '{"a": {"type": "github", "client_id": "x", "redirect_uri": "https://a", "secret": "planted"}}',
            "a has an unknown key `secret`",
        ),
        (
            '{"a": {"type": "github", "client_id": "x", "redirect_uri": "https://a", "register": "no"}}',
            "`register` of a must be true or false",
        ),
    ],
)
def test_configuration_that_cannot_be_used(text: str, sentence: str):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        read_channels(text)
    assert "planted" not in str(caught.value)


def test_configuration():
    assert read_channels("") == {}
    entry = {"client_id": "x", "client_secret": "planted", "redirect_uri": "http://a.example/", "register": False}
    found = read_channels(
        json.dumps({"my_corp": entry | {"issuer": "https://i.example"}, "hub": entry | {"type": "github"}})
    )
    assert (found["my_corp"].type, found["my_corp"].register) == ("oidc", False)
    assert found["hub"].userinfo_url == "https://api.github.com/user"
    assert "planted" not in repr(found)
