"""Counting attempts, in the database: all processes see the same numbers, and no other server is needed."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

from django.db import IntegrityError, transaction
from django.db.models import F

from apps.accounts.models import RateCounter
from apps.core.crypto import digest
from apps.core.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class Limit:
    """How often something may happen within a window of seconds. Windows begin at whole multiples of their length."""

    name: str
    count: int
    seconds: int


LOGIN_OF_ACCOUNT = Limit("login of account", 20, 300)
LOGIN_FROM_KNOWN_ADDRESS = Limit("login from known address", 20, 300)
LOGIN_FROM_ADDRESS = Limit("login from address", 300, 300)
PASSWORD_OF_LOGIN = Limit("current password of login", 20, 300)
REGISTRATION_FROM_ADDRESS = Limit("registration from address", 100, 600)
RECOVERY_FROM_ADDRESS = Limit("recovery from address", 100, 600)
EXTERNAL_LOGIN_FROM_ADDRESS = Limit("external login from address", 200, 600)
INVITATIONS_OF_TENANT = Limit("invitations of tenant", 200, 3600)
MODEL_CHECKS_OF_TENANT = Limit("model checks of tenant", 60, 60)
MCP_REQUESTS_OF_CALLER = Limit("requests of caller that ask MCP servers", 120, 60)

KNOWN_SECONDS = 30 * 24 * 3600
"""How long an address counts as its holder's after a login to an account."""


def requests_of_token(count: int) -> Limit:
    return Limit("requests of token", count, 60)


def hit(limit: Limit, subject: str) -> None:
    """Count one more. Raises TooManyRequests once the limit is passed, until the window ends."""
    now = time()
    window = math.floor(now / limit.seconds)
    ends = (window + 1) * limit.seconds
    if _count(_key(limit, subject, window), ends) > limit.count:
        raise TooManyRequests(max(1, math.ceil(ends - now)))


@contextmanager
def failures_count(*limits: tuple[Limit, str]) -> Iterator[None]:
    """Run an attempt that is counted only if it fails.

    It is counted before and taken back afterwards, so that attempts at the same time cannot all slip through.
    """
    window_of = {limit: math.floor(time() / limit.seconds) for limit, _ in limits}
    for limit, subject in limits:
        hit(limit, subject)
    yield
    for limit, subject in limits:
        RateCounter.objects.filter(key=_key(limit, subject, window_of[limit]), count__gt=0).update(count=F("count") - 1)


@contextmanager
def login_attempt(email: str, address: str) -> Iterator[None]:
    """Run an attempt to log in, counted by account and by network address if it fails.

    From where the account has been logged in lately, attempts have a count of their own: whoever guesses elsewhere
    cannot lock the holder out.
    """
    account = email.strip().lower()
    pair = f"{account}\0{address}"
    of_account = (LOGIN_FROM_KNOWN_ADDRESS, pair) if _is_known(pair) else (LOGIN_OF_ACCOUNT, account)
    with failures_count((LOGIN_FROM_ADDRESS, address), of_account):
        yield
    expires_at = datetime.fromtimestamp(time() + KNOWN_SECONDS, UTC)
    RateCounter.objects.update_or_create(key=_known_key(pair), defaults={"expires_at": expires_at})


WAITING_AT_ONCE = 4  # of a process: each holds one of the threads that serve requests
_PLACES = threading.BoundedSemaphore(WAITING_AT_ONCE)


@contextmanager
def place_to_wait(seconds: float) -> Iterator[None]:
    """Hold one of the few places for requests that wait for a server that a tenant named, at most this long.

    Raises TooManyRequests while all are taken.
    """
    if not _PLACES.acquire(blocking=False):
        raise TooManyRequests(math.ceil(seconds))
    try:
        yield
    finally:
        _PLACES.release()


def is_first_use(text: str, *, seconds: int) -> bool:
    """Tell whether a text that may be used once is used for the first time. It is remembered for some seconds."""
    expires_at = datetime.fromtimestamp(time() + seconds, UTC)
    try:
        with transaction.atomic():
            RateCounter.objects.create(key=digest(f"used\0{text}"), count=1, expires_at=expires_at)
    except IntegrityError:
        return False
    return True


def _key(limit: Limit, subject: str, window: int) -> str:
    return digest(f"{limit.name}\0{subject}\0{window}")


def _known_key(pair: str) -> str:
    return digest(f"known\0{pair}")


def _is_known(pair: str) -> bool:
    now = datetime.fromtimestamp(time(), UTC)
    return RateCounter.objects.filter(key=_known_key(pair), expires_at__gt=now).exists()


@transaction.atomic
def _count(key: str, ends: float) -> int:
    """Add to a counter and return it. The row is locked until the transaction ends, so no two callers see one value."""
    counter = RateCounter.objects.filter(key=key)
    if not counter.update(count=F("count") + 1):
        expires_at = datetime.fromtimestamp(ends, UTC)
        RateCounter.objects.filter(expires_at__lt=datetime.fromtimestamp(time(), UTC)).delete()
        try:
            with transaction.atomic():
                RateCounter.objects.create(key=key, count=1, expires_at=expires_at)
        except IntegrityError:  # another process was first
            counter.update(count=F("count") + 1)
    return counter.values_list("count", flat=True).get()
