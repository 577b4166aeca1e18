"""The identity providers that the operator configured, one channel each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_RESERVED = frozenset({"channels"})  # /v1/user/login/channels is a route of its own
_ADDRESSES = ("redirect_uri", "issuer", "authorization_url", "app_token_url", "token_url", "userinfo_url")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Kind(StrEnum):
    OAUTH2 = "oauth2"
    OIDC = "oidc"
    GITHUB = "github"
    FEISHU = "feishu"


_REQUIRED = {
    Kind.OAUTH2: ("authorization_url", "token_url", "userinfo_url"),
    Kind.OIDC: ("issuer",),
    Kind.GITHUB: (),
    Kind.FEISHU: ("client_secret",),
}
_FEISHUS_NAMES = {
    "app_id": "client_id",
    "app_secret": "client_secret",
    "app_access_token_url": "app_token_url",
    "user_access_token_url": "token_url",
}
_DEFAULTS: dict[Kind, dict[str, str]] = {
    Kind.OAUTH2: {},
    Kind.OIDC: {"scope": "openid email profile"},
    Kind.GITHUB: {
        "scope": "user:email",
        "authorization_url": "https://github.com/login/oauth/authorize",
        "token_url": "https://github.com/login/oauth/access_token",
        "userinfo_url": "https://api.github.com/user",
    },
    Kind.FEISHU: {
        "scope": "contact:user.email:readonly",
        "authorization_url": "https://accounts.feishu.cn/open-apis/authen/v1/authorize",
        "app_token_url": "https://open.feishu.cn/open-apis/auth/v3/app_access_token/internal",
        "token_url": "https://open.feishu.cn/open-apis/authen/v1/oidc/access_token",
        "userinfo_url": "https://open.feishu.cn/open-apis/authen/v1/user_info",
    },
}


@dataclass(frozen=True, slots=True)
class Channel:
    """A provider, and this installation's registration with it."""

    name: str
    type: Kind
    client_id: str
    redirect_uri: str
    client_secret: str = field(default="", repr=False)  # empty: a public client, which only PKCE protects
    display_name: str = ""
    icon: str = "sso"
    scope: str = ""
    authorization_url: str = ""
    app_token_url: str = ""  # Feishu's, where the application proves itself first
    token_url: str = ""
    userinfo_url: str = ""
    issuer: str = ""
    email_verified: bool = False  # the operator knows that the provider checks every address
    register: bool | None = None  # whether unknown people get an account; None: as registration is elsewhere


def read_channels(text: str) -> dict[str, Channel]:
    """Read a JSON object of channels by name. Raises ValueError with a sentence that shows no value."""
    if not text:
        return {}
    try:
        configured = json.loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(configured, dict) or not all(isinstance(entry, dict) for entry in configured.values()):
        raise ValueError("it must be a JSON object of objects, one for each channel")
    return {name: _channel(name, entry) for name, entry in configured.items()}


def _channel(name: str, given: Mapping[str, Any]) -> Channel:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ValueError(f"{name!r} cannot name a channel")
    kind = _kind(name, given)
    if kind is Kind.FEISHU:
        given = {_FEISHUS_NAMES.get(key, key): value for key, value in given.items()}
    entry = _DEFAULTS[kind] | {"display_name": name.title()} | {key: value for key, value in given.items() if value}
    for option in fields(Channel):
        _check_type(name, option.name, entry)
        is_required = option.default is MISSING and option.name not in {"name", "type"}
        if (is_required or option.name in _REQUIRED[kind]) and not entry.get(option.name):
            raise ValueError(f"{name} lacks `{option.name}`")
    if unknown := sorted(set(entry) - {option.name for option in fields(Channel)}):
        raise ValueError(f"{name} has an unknown key `{unknown[0]}`")
    for option_name in _ADDRESSES:
        if entry.get(option_name):
            _check_address(name, option_name, entry[option_name])
    if kind is Kind.OIDC and "openid" not in entry["scope"].split():
        raise ValueError(f"the scope of {name} must hold openid")
    if "register" in given:  # false says something, too
        entry["register"] = given["register"]
    return Channel(**(entry | {"name": name, "type": kind}))


def _kind(name: str, given: Mapping[str, Any]) -> Kind:
    sent = given.get("type") or (Kind.OIDC if given.get("issuer") else Kind.OAUTH2)
    try:
        return Kind(sent)
    except ValueError:
        raise ValueError(f"the type of {name} must be one of {', '.join(Kind)}") from None


def _check_type(name: str, option: str, entry: Mapping[str, Any]) -> None:
    is_flag = option in {"email_verified", "register"}
    if option in entry and not isinstance(entry[option], bool if is_flag else str):
        raise ValueError(f"`{option}` of {name} must be {'true or false' if is_flag else 'text'}")


def _check_address(name: str, option: str, url: str) -> None:
    """Codes and secrets travel to these addresses, so they are HTTPS, except on this machine."""
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and _may_be_plain(option, parts.hostname))
    except ValueError:
        is_good = is_safe = False
    if not is_good or not is_safe:
        raise ValueError(f"`{option}` of {name} must be an https:// address")


def _may_be_plain(option: str, host: str | None) -> bool:
    return option == "redirect_uri" or host in _LOOPBACK or bool(host and host.endswith((".localhost", ".internal")))
