"""Accounts as the contract writes them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.accounts.identity.channels import Channel
from apps.accounts.langfuse import Project
from apps.accounts.language_models import default_chat_name, default_embedding_name, registry
from apps.accounts.models import APIToken, IssuedSecret, LangfuseKeys, Membership, Tenant, User
from apps.core.clock import http_date, milliseconds, timestamps
from apps.core.crypto import decrypt
from apps.core.principal import Principal
from apps.core.wire_profile import profile


def user_to_wire(user: User) -> dict[str, Any]:
    return {
        "id": user.pk,
        "email": user.email,
        "nickname": user.nickname,
        "avatar": user.avatar,
        "language": user.language,
        "color_schema": user.color_schema,
        "timezone": user.timezone,
        "last_login_time": http_date(user.last_login or user.created_at),
        "login_channel": user.login_channel,
        "is_superuser": user.is_superuser,
        **_flags(user),
        "status": "1",
        **timestamps(user.created_at, user.updated_at),
    }


def channel_to_wire(channel: Channel) -> dict[str, Any]:
    return {"channel": channel.name, "display_name": channel.display_name, "icon": channel.icon}


def tenant_to_wire(tenant: Tenant) -> dict[str, Any]:
    """Where a tenant chose no model, the installation's is named."""
    return {
        "tenant_id": tenant.pk,
        "name": tenant.name,
        "llm_id": default_chat_name(tenant),
        "embd_id": default_embedding_name(tenant),
        "rerank_id": tenant.rerank_model or registry().default_rerank_name,
        "asr_id": tenant.speech_to_text_model,
        "img2txt_id": tenant.image_to_text_model,
        "tts_id": tenant.text_to_speech_model,
        "parser_ids": tenant.parsers,
        "role": Membership.Role.OWNER.value,
    }


def member_to_wire(membership: Membership) -> dict[str, Any]:
    """A member of a team, as the team's owner sees it."""
    user = membership.user
    return {
        "id": membership.pk,
        "user_id": user.pk,
        "status": "1",
        "role": _role(membership),
        "team_role": membership.role,
        "nickname": user.nickname,
        "email": user.email,
        "avatar": user.avatar,
        "is_superuser": user.is_superuser,
        **_flags(user),
        **_freshness(user),
    }


def team_to_wire(membership: Membership, owner: User) -> dict[str, Any]:
    """A team, as one who belongs or is invited to it sees it."""
    return {
        "tenant_id": membership.tenant_id,
        "role": _role(membership),
        "team_role": membership.role,
        "nickname": owner.nickname,
        "email": owner.email,
        "avatar": owner.avatar,
        **_freshness(owner),
    }


def invited_to_wire(user: User) -> dict[str, Any]:
    return {"id": user.pk, "avatar": user.avatar, "email": user.email, "nickname": user.nickname}


def new_token_to_wire(token: APIToken, secret: str, share_secret: str | None = None) -> dict[str, Any]:
    """A token at the one moment when its secret is known."""
    shared = {} if share_secret is None else {"beta": share_secret}
    created = {
        "create_time": milliseconds(token.created_at),
        "create_date": http_date(token.created_at),
        "update_time": None,
        "update_date": None,
    }
    return _token(token) | {"token": secret} | shared | created


def token_to_wire(token: APIToken, principal: Principal) -> dict[str, Any]:
    """A token in a list: its prefix, or in the profile that demands it the secret, if the caller may do as much."""
    may_as_much = principal.scopes.issuperset(token.scopes) and not principal.ends_before(token.expires_at)
    in_full = profile().keeps_token_copy and may_as_much
    share_token = getattr(token, "share_token", None)
    return {
        **_token(token),
        "token": _shown(token, in_full=in_full),
        "beta": _shown(share_token, in_full=in_full) if share_token else None,
        **timestamps(token.created_at, token.updated_at),
    }


def langfuse_to_wire(keys: LangfuseKeys, *, secret_key: str, project: Project | None = None) -> dict[str, Any]:
    """Return the keys; of the secret one its end, in the profile that demands it the whole."""
    return {
        "tenant_id": keys.tenant_id,
        "host": keys.host,
        "public_key": keys.public_key,
        "secret_key": secret_key if profile().shows_secret_keys else f"…{secret_key[-4:]}",
        **({"project_id": project.id, "project_name": project.name} if project else {}),
    }


def _token(token: APIToken) -> dict[str, Any]:
    return {
        "id": token.pk,
        "tenant_id": token.tenant_id,
        "name": token.name,
        "prefix": token.prefix,
        "dialog_id": token.bound_to or None,
        "source": "agent" if token.is_bound_to_agent else None,
        "scopes": token.scopes,
        "dataset_ids": token.dataset_ids,
        "assistant_ids": token.assistant_ids,
        "requests_per_minute": token.requests_per_minute,
        "expires_at": http_date(token.expires_at),
        "last_used_at": http_date(token.last_used_at),
        "previous_valid_until": http_date(token.previous_valid_until),
    }


def _shown(secret: IssuedSecret, *, in_full: bool) -> str:
    copy = decrypt(secret.encrypted_secret) if in_full and secret.encrypted_secret else None
    return copy or secret.prefix


def _role(membership: Membership) -> str:
    """The contract knows owners, members and invited people; `team_role` says more."""
    if membership.is_pending:
        return "invite"
    return "owner" if membership.role == Membership.Role.OWNER else "normal"


def _flags(user: User) -> dict[str, str]:
    return {"is_authenticated": "1", "is_active": "1" if user.is_active else "0", "is_anonymous": "0"}


def _freshness(user: User) -> dict[str, Any]:
    age = (timezone.now() - user.updated_at).total_seconds()
    return {"update_date": http_date(user.updated_at), "delta_seconds": age}
