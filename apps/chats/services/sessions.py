"""Writing sessions and the messages of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from apps.chats.models import Assistant, Message, Session, SessionSource
from apps.chats.schemas import SessionData
from apps.chats.selectors import sessions_of
from apps.chats.services.deleting import Deletion, delete_named
from apps.core.errors import NotFound
from apps.core.principal import Principal


@transaction.atomic
def create_session(
    *, assistant: Assistant, data: SessionData, greeted_at: datetime | None = None, is_embedded: bool = False
) -> Session:
    """Create a session that begins with the assistant's opener."""
    session = Session.objects.create(
        assistant=assistant,
        name=data.name or "New session",
        user_id=data.user_id or "",
        is_embedded=is_embedded,
    )
    Message.objects.create(
        session=session, role=Message.Role.ASSISTANT, content=opener_of(assistant), created_at=greeted_at
    )
    return session


def opener_of(assistant: Assistant) -> str:
    opener = assistant.prompt_config.get("prologue")
    return opener if isinstance(opener, str) else ""


def update_session(*, session: Session, data: SessionData) -> None:
    """Rename a session or change its user; what is not given stays. Raises NotFound if it was deleted meanwhile."""
    given = {"name": data.name, "user_id": data.user_id}
    changes: dict[str, Any] = {column: value for column, value in given.items() if value is not None}
    if not Session.objects.filter(pk=session.pk).update(updated_at=timezone.now(), **changes):
        raise NotFound("Session does not exist")


def delete_sessions(*, principal: Principal, assistant: Assistant, ids: Sequence[str]) -> Deletion:
    """Delete these sessions of the assistant with their messages, or all if none is named."""
    return delete_named(
        sessions_of(principal, assistant),
        ids,
        delete=_delete,
        missing="The chat doesn't own the session {}",
        duplicate="Duplicate session ids: {}",
        kind="session",
        tenant_id=assistant.tenant_id,
    )


def _delete(sessions: models.QuerySet[Session]) -> int:
    """Delete sessions with their messages, and return how many sessions they were.

    They are locked first. Else an exchange that is being recorded would add messages to a session that is half deleted.
    """
    list(sessions.select_for_update().order_by("pk").values_list("pk"))
    return sessions.delete()[1].get("chats.Session", 0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what was answered, ready to be kept."""

    session_id: str
    pair_id: UUID
    question: str
    answer: str
    thoughts: str = ""
    reference: dict[str, Any] = field(default_factory=dict)
    dataset_ids: Sequence[str] = ()  # where the answer was looked for
    interrupted: bool = False
    tokens: int = 0
    seconds: float = 0.0


@transaction.atomic
def record_exchange(*, exchange: Exchange) -> None:
    """Append a question and its answer to their session. A session that was deleted meanwhile stays deleted."""
    now = timezone.now()
    # Also makes a second exchange of the same session wait, so that pairs do not interleave.
    if not Session.objects.filter(pk=exchange.session_id).update(updated_at=now):
        return
    SessionSource.objects.bulk_create(
        [SessionSource(session_id=exchange.session_id, dataset_id=id_) for id_ in exchange.dataset_ids],
        ignore_conflicts=True,
    )
    shared = {"session_id": exchange.session_id, "pair_id": exchange.pair_id, "created_at": now}
    Message.objects.bulk_create(
        [
            Message(role=Message.Role.USER, content=_storable(exchange.question), **shared),
            Message(
                role=Message.Role.ASSISTANT,
                content=_storable(exchange.answer),
                thoughts=_storable(exchange.thoughts),
                reference=_storable(exchange.reference),
                interrupted=exchange.interrupted,
                tokens=exchange.tokens,
                seconds=exchange.seconds,
                **shared,
            ),
        ]
    )


def _storable(value: Any) -> Any:
    """Return a text or a JSON value without NUL, which people, models and chunks may hold and not every database."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value
