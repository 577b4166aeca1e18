"""What the admin API shows."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import APIToken, User
from apps.accounts.services.tokens import IssuedPair
from apps.accounts.system_settings import Setting
from apps.accounts.wire import new_token_to_wire, token_to_wire, user_to_wire
from apps.administration.parts import Part
from apps.core.clock import http_date
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase

_SHOWN = (
    *("avatar", "email", "language", "last_login_time", "is_active", "is_anonymous", "login_channel", "status"),
    *("is_superuser", "create_date", "update_date"),
)
_NEW_KEY = ("tenant_id", "token", "beta", "create_time", "create_date", "update_time", "update_date")
_KEY = ("id", *_NEW_KEY, "dialog_id", "source")


def listed_user_to_wire(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "nickname": user.nickname,
        "create_date": http_date(user.created_at),
        "is_active": "1" if user.is_active else "0",
        "is_superuser": user.is_superuser,
    }


def shown_user_to_wire(user: User) -> dict[str, Any]:
    known = user_to_wire(user)
    return {name: known[name] for name in _SHOWN}


def new_user_to_wire(user: User) -> dict[str, Any]:
    return {
        "id": user.pk,
        "email": user.email,
        "nickname": user.nickname,
        "login_channel": user.login_channel,
        "is_superuser": user.is_superuser,
    }


def dataset_to_wire(dataset: KnowledgeBase) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "avatar": dataset.avatar,
        "language": dataset.language,
        "permission": dataset.permission,
        "doc_num": dataset.document_count,
        "token_num": dataset.token_count,
        "chunk_num": dataset.chunk_count,
        "status": "1",
        "create_date": http_date(dataset.created_at),
        "update_date": http_date(dataset.updated_at),
    }


def new_key_to_wire(issued: IssuedPair) -> dict[str, Any]:
    known = new_token_to_wire(issued.token, issued.secret, issued.share_secret)
    return {name: known[name] for name in _NEW_KEY}


def key_to_wire(token: APIToken, owner: Principal) -> dict[str, Any]:
    """A key in a list, with as much of its text as its owner is shown."""
    known = token_to_wire(token, owner)
    return {name: known[name] for name in _KEY}


def part_to_wire(part: Part) -> dict[str, Any]:
    return {
        "id": part.id,
        "name": part.name,
        "host": part.host or "-",
        "port": part.port or "-",
        "service_type": part.type,
        "extra": dict(part.extra),
    }


def setting_to_wire(setting: Setting) -> dict[str, str]:
    return {
        "name": setting.name,
        "source": setting.source,
        "data_type": setting.data_type,
        "value": setting.value,
    }
