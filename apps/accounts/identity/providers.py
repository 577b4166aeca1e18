"""Speaking to identity providers: where to send the browser, and who it was that came back.

The operator configured the providers, so their addresses may be private; an avatar's address comes from anybody and may
not. Codes, tokens and secrets are in no message.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from apps.accounts.identity.attempts import Attempt
from apps.accounts.identity.channels import Channel, Kind
from apps.accounts.identity.id_tokens import BadIDToken, claims_of
from ragflow.engine.errors import ModelError
from ragflow.engine.http import blocking_client

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

TIMEOUT = 7.0
METADATA_SECONDS = 300.0  # how long an issuer's description is believed
LARGEST_AVATAR = 512 * 1024
GITHUB_EMAILS = "/emails"
FEISHU_EMAIL = "contact:user.email:readonly"
_NICKNAMES = ("nickname", "name", "username", "preferred_username")
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class ProviderFailed(Exception):
    """The provider did not answer, or with something else than it should. The log has the reason."""


class ScopeMissing(ProviderFailed):
    """Somebody did not let us read the address."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a provider says of whoever logged in there."""

    email: str
    is_verified: bool
    nickname: str
    avatar_url: str


def authorization_url(channel: Channel, attempt: Attempt) -> str:
    """Return the address at the provider that the browser is sent to. Raises ProviderFailed."""
    query = {
        "client_id": channel.client_id,
        "redirect_uri": channel.redirect_uri,
        "response_type": "code",
        "state": attempt.state,
    }
    if channel.type is not Kind.FEISHU:  # whose token endpoint takes no proof
        query |= {"code_challenge": attempt.challenge, "code_challenge_method": "S256"}
    if channel.scope:
        query["scope"] = channel.scope
    if channel.type is Kind.OIDC:
        query["nonce"] = attempt.nonce
    address = _endpoint(channel, "authorization_url", "authorization_endpoint")
    return address + ("&" if urlsplit(address).query else "?") + urlencode(query)


def person_of(channel: Channel, attempt: Attempt, code: str) -> Person:
    """Exchange the code of a callback for what the provider knows. Raises ProviderFailed."""
    if channel.type is Kind.FEISHU:
        return _feishu_person(channel, code)
    tokens = _tokens(channel, attempt, code)
    if channel.type is Kind.GITHUB:
        return _github_person(channel, tokens)
    if channel.type is Kind.OIDC:
        return _person(channel, _openid_claims(channel, attempt, tokens))
    return _person(channel, _object(channel, "the profile", channel.userinfo_url, _access_token(tokens)))


def picture_at(url: str) -> str | None:
    """Return the picture at an address that somebody chose as a data URL, or None if it cannot be had."""
    import httpx2

    if not url.startswith("https://"):
        return None
    try:
        with blocking_client(True).stream("GET", url, timeout=TIMEOUT) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            content = _read_some(response) if response.is_success and kind in _PICTURES else b""
    except (httpx2.HTTPError, httpx2.InvalidURL, ModelError) as error:
        log.info("The picture of a new account cannot be had: %s", type(error).__name__)
        return None
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if content else None


# -- OpenID Connect ------------------------------------------------------------------------------------------------

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_metadata: dict[str, tuple[float, dict[str, Any]]] = {}


def _endpoint(channel: Channel, configured: str, described: str) -> str:
    return str(_description(channel)[described] if channel.type is Kind.OIDC else getattr(channel, configured))


def _description(channel: Channel) -> dict[str, Any]:
    """Return what the issuer says about itself (OpenID Connect Discovery 1.0). Raises ProviderFailed."""
    known = _metadata.get(channel.issuer)
    if known and known[0] > time.monotonic():
        return known[1]
    address = f"{channel.issuer.rstrip('/')}/.well-known/openid-configuration"
    described = _object(channel, "the description of the issuer", address)
    if described.get("issuer") != channel.issuer:
        raise _failed(channel, "the issuer calls itself otherwise than RAGFLOW_OAUTH does")
    schemes = ("https://",) if channel.issuer.startswith("https://") else ("https://", "http://")
    for name in _ENDPOINTS:
        if not _text(described, name).startswith(schemes):
            raise _failed(channel, f"the issuer names no good {name}")
    _metadata[channel.issuer] = (time.monotonic() + METADATA_SECONDS, described)
    return described


def _openid_claims(channel: Channel, attempt: Attempt, tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of the ID token with those of the profile over them."""
    described = _description(channel)
    keys = _object(channel, "the keys", described["jwks_uri"])
    try:
        claims = claims_of(
            tokens.get("id_token"),
            keys,
            issuer=channel.issuer,
            client_id=channel.client_id,
            nonce=attempt.nonce,
        )
    except BadIDToken as error:
        raise _failed(channel, f"the ID token is not good: {error}") from None
    if not _text(described, "userinfo_endpoint"):
        return claims
    profile = _object(channel, "the profile", described["userinfo_endpoint"], _access_token(tokens))
    if profile.get("sub") != claims["sub"]:
        raise _failed(channel, "the profile is somebody else's")
    if profile.get("email", claims.get("email")) != claims.get("email"):
        claims.pop("email_verified", None)  # it was said of another address
    return claims | profile


# -- GitHub --------------------------------------------------------------------------------------------------------


def _github_person(channel: Channel, tokens: Mapping[str, Any]) -> Person:
    granted = str(tokens.get("scope") or "user:email").replace(",", " ").split()
    if not {"user", "user:email"} & set(granted):
        raise ScopeMissing("user:email not in scope")
    token = _access_token(tokens)
    profile = _object(channel, "the profile", channel.userinfo_url, token)
    listed = _json(channel, "the addresses", _get(channel, channel.userinfo_url + GITHUB_EMAILS, token))
    addresses = [item for item in (listed if isinstance(listed, list) else []) if isinstance(item, dict)]
    primary = next((item for item in addresses if item.get("primary") is True), {})
    return Person(
        email=_text(primary, "email"),
        is_verified=primary.get("verified") is True,
        nickname=_text(profile, "name") or _text(profile, "login"),
        avatar_url=_text(profile, "avatar_url"),
    )


# -- Feishu, which is Lark elsewhere ---------------------------------------------------------------------------------


def _feishu_person(channel: Channel, code: str) -> Person:
    """Requests are JSON, answers have an envelope, and the application gets a token of its own first."""
    secret = {"app_id": channel.client_id, "app_secret": channel.client_secret}
    app = _feishu_answer(channel, "the application's token", "POST", channel.app_token_url, json=secret)
    grant = {"grant_type": "authorization_code", "code": code}
    authorization = _bearer(channel, _access_token(app, "app_access_token"))
    answer = _feishu_answer(channel, "the tokens", "POST", channel.token_url, json=grant, headers=authorization)
    tokens = _feishu_data(channel, answer)
    if FEISHU_EMAIL not in _text(tokens, "scope").split():
        raise ScopeMissing(f"{FEISHU_EMAIL} not in scope")
    authorization = _bearer(channel, _access_token(tokens))
    profile = _feishu_answer(channel, "the profile", "GET", channel.userinfo_url, headers=authorization)
    return _person(channel, _feishu_data(channel, profile))


def _feishu_answer(channel: Channel, what: str, method: str, address: str, **request: Any) -> dict[str, Any]:
    answer = _json(channel, what, _send(channel, method, address, **request))
    if not isinstance(answer, dict) or answer.get("code") != 0:
        raise _failed(channel, f"{what}: refused")
    return answer


def _feishu_data(channel: Channel, answer: Mapping[str, Any]) -> dict[str, Any]:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise _failed(channel, "an answer without data")
    return data


# -- what all have in common ---------------------------------------------------------------------------------------


def _person(channel: Channel, profile: Mapping[str, Any]) -> Person:
    email = _text(profile, "email")
    return Person(
        email=email,
        # Some providers send the claim as text.
        is_verified=channel.email_verified or profile.get("email_verified") in (True, "true"),
        nickname=next(filter(None, (_text(profile, name) for name in _NICKNAMES)), email.partition("@")[0]),
        avatar_url=_text(profile, "avatar_url") or _text(profile, "picture"),
    )


def _tokens(channel: Channel, attempt: Attempt, code: str) -> dict[str, Any]:
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": channel.redirect_uri,
        "client_id": channel.client_id,
        "code_verifier": attempt.verifier,
    }
    headers = {"Accept": "application/json"}
    if channel.client_secret and _wants_basic(channel):
        credentials = f"{quote(channel.client_id, safe='')}:{quote(channel.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    elif channel.client_secret:
        fields["client_secret"] = channel.client_secret
    address = _endpoint(channel, "token_url", "token_endpoint")
    tokens = _json(channel, "the tokens", _send(channel, "POST", address, data=fields, headers=headers))
    if not isinstance(tokens, dict) or "error" in tokens:
        raise _failed(channel, "the code was not accepted")
    return tokens


def _wants_basic(channel: Channel) -> bool:
    """Tell whether the token endpoint reads the client's secret from the header only."""
    if channel.type is not Kind.OIDC:
        return False
    methods = _description(channel).get("token_endpoint_auth_methods_supported")
    return "client_secret_post" not in (methods if isinstance(methods, list) else ["client_secret_basic"])


def _access_token(tokens: Mapping[str, Any], name: str = "access_token") -> str:
    token = _text(tokens, name)
    if not token.isascii() or not token.isprintable():
        return ""
    return token


def _object(channel: Channel, what: str, address: str, token: str | None = None) -> dict[str, Any]:
    found = _json(channel, what, _get(channel, address, token))
    if not isinstance(found, dict):
        raise _failed(channel, f"{what} is no JSON object")
    return found


def _get(channel: Channel, address: str, token: str | None = None) -> httpx2.Response:
    authorization = {} if token is None else _bearer(channel, token)
    return _send(channel, "GET", address, headers={"Accept": "application/json"} | authorization)


def _bearer(channel: Channel, token: str) -> dict[str, str]:
    if not token:
        raise _failed(channel, "there is no access token")
    return {"Authorization": f"Bearer {token}"}


def _send(channel: Channel, method: str, address: str, **request: Any) -> httpx2.Response:
    import httpx2

    try:
        return blocking_client(False).request(method, address, timeout=TIMEOUT, **request)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _failed(channel, f"no answer ({type(error).__name__})") from None


def _json(channel: Channel, what: str, response: httpx2.Response) -> Any:
    if not response.is_success:
        raise _failed(channel, f"instead of {what}, status {response.status_code}")
    try:
        return response.json()
    except ValueError:  # UnicodeDecodeError is one, too
        raise _failed(channel, f"{what}: not JSON") from None


def _read_some(response: httpx2.Response) -> bytes:
    """Return the body; nothing of one that is too large or takes too long."""
    content, until = bytearray(), time.monotonic() + TIMEOUT
    for part in response.iter_bytes():
        content += part
        if len(content) > LARGEST_AVATAR or time.monotonic() > until:
            return b""
    return bytes(content)


def _text(source: Mapping[str, Any], name: str) -> str:
    value = source.get(name)
    return value.strip() if isinstance(value, str) else ""


def _failed(channel: Channel, reason: str) -> ProviderFailed:
    log.warning("Login through %s: %s", channel.name, reason)
    return ProviderFailed(reason)
