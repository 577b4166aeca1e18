"""Who makes the current request and from where, for what is written about it (see `apps.accounts.audit`).

The middleware begins a caller and authentication names it. The object is shared by all threads that serve the request:
what a thread of the pool learns about the caller, the event loop knows, too.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from django.http import HttpRequest


class ActorKind(StrEnum):
    ANONYMOUS = "anonymous"
    USER = "user"
    TOKEN = "token"  # noqa: S105 -- a kind, as the next one
    SHARE_TOKEN = "share token"  # noqa: S105
    SYSTEM = "system"  # the command line or a worker


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts: the id of a user or token, and what people recognise it by."""

    kind: ActorKind
    id: str = ""
    name: str = ""


@dataclass(slots=True)
class Caller:
    actor: Actor
    address: str = ""
    is_remote: bool = False  # there is a request
    request: HttpRequest | None = None  # its Django session counts when nothing else names the actor


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def begin_caller(address: str, request: HttpRequest) -> None:
    """Start a request, of somebody who is not known yet."""
    _caller.set(Caller(Actor(ActorKind.ANONYMOUS), address, is_remote=True, request=request))


def forget_request() -> None:
    """Let go of the request, which an answer that flows does not need."""
    current_caller().request = None


def current_caller() -> Caller:
    return _caller.get() or Caller(Actor(ActorKind.SYSTEM))


def acts_as(actor: Actor) -> None:
    """Name the one who makes the current request. Outside of a request nothing happens."""
    caller = _caller.get()
    if caller is not None:
        caller.actor = actor
