"""Logging in through an identity provider, from the first redirect to the session."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.conf import settings

from apps.accounts import selectors, system_settings, throttles
from apps.accounts.errors import AddressTaken, LoginRefused, RegistrationClosed, UnknownChannel
from apps.accounts.identity import attempts, providers
from apps.accounts.identity.channels import Channel
from apps.accounts.identity.providers import Person, ProviderFailed, ScopeMissing
from apps.accounts.models import User
from apps.accounts.services.accounts import RESERVED_ADDRESS, create_account
from apps.accounts.services.ownership import prove_address
from apps.accounts.services.sessions import StartedSession, note_refused_login, start_session
from apps.core.errors import RagflowError, Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send a browser, and the cookie that it is to bring back."""

    url: str
    cookie: str


def begin(*, channel: str, address: str) -> Departure:
    """Start a login of somebody at a network address. Raises UnknownChannel, Unavailable and TooManyRequests."""
    known = _channel(channel)
    throttles.hit(throttles.EXTERNAL_LOGIN_FROM_ADDRESS, address)
    attempt = attempts.new_attempt(known.name)
    try:
        return Departure(providers.authorization_url(known, attempt), attempts.sealed(attempt))
    except ProviderFailed:
        raise Unavailable(f"{known.display_name} cannot be reached. Try again later.") from None


def finish(*, channel: str, cookie: str, state: str, code: str, address: str) -> StartedSession:
    """End a login when the browser is back from the provider, and start its session.

    Raises LoginRefused, RegistrationClosed, UnknownChannel and TooManyRequests.
    """
    known = _channel(channel)
    throttles.hit(throttles.EXTERNAL_LOGIN_FROM_ADDRESS, address)
    attempt = attempts.take(cookie, channel=known.name, state=state)
    if attempt is None:
        raise LoginRefused("invalid_state")
    if not code:
        raise LoginRefused("missing_code")
    try:
        person = providers.person_of(known, attempt, code)
    except ScopeMissing as error:
        raise LoginRefused(str(error)) from None
    except ProviderFailed:
        raise LoginRefused("token_failed") from None
    try:
        return start_session(user=_user_for(known, person))
    except RagflowError as error:
        note_refused_login(person.email, f"through {known.name}: {error}")
        raise


def _channel(name: str) -> Channel:
    channel: Channel | None = settings.LOGIN_CHANNELS.get(name)
    if channel is None:
        raise UnknownChannel(name)
    return channel


def _user_for(channel: Channel, person: Person) -> User:
    """Return the account of an address that the provider has verified; a new one if strangers may have one.

    An address that is not verified is anybody's: it neither opens nor makes an account. An account whose address was
    not proven before is taken over from whoever registered it.
    """
    if not person.email:
        raise LoginRefused("email_missing")
    if not person.is_verified:
        raise LoginRefused("email_not_verified")
    # Letters that only look like those of an account's address, and characters that no database takes.
    if not person.email.isascii() or not person.email.isprintable():
        raise LoginRefused("email_not_supported")
    if person.email.lower() == RESERVED_ADDRESS:
        raise LoginRefused("user_inactive")
    user = selectors.user_by_email(person.email) or _register(channel, person)
    if not user.is_active:
        raise LoginRefused("user_inactive")
    prove_address(user=user, by=f"login through {channel.name}")
    return user


def _register(channel: Channel, person: Person) -> User:
    may = channel.register
    if may is None:
        may = system_settings.is_registration_open() and system_settings.may_register(person.email)
    if not may:
        raise RegistrationClosed
    nickname = "".join(filter(str.isprintable, person.nickname))
    try:
        return create_account(
            email=person.email,
            nickname=nickname,
            avatar=providers.picture_at(person.avatar_url),
            login_channel=channel.name,
        )
    except AddressTaken:  # by another login at this moment
        user = selectors.user_by_email(person.email)
        if user is None:
            raise
        return user
