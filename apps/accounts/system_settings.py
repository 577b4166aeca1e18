"""What an administrator may set while the server runs, and whatever reads it.

A setting that the environment gives is fixed by it. Otherwise what an administrator has stored holds, else the default.
Settings are read where people register, invite and are mailed, so they are read from the database each time: a change
counts at once, in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import Membership, SystemSetting
from apps.core.crypto import decrypt, encrypt
from apps.core.errors import InvalidArgument, OperationRefused

LONGEST_VALUE = 65_536
MASK = "********"


@dataclass(frozen=True, slots=True)
class Known:
    """A setting. `configured` returns its value without an administrator; `variable` is what fixes it."""

    name: str
    data_type: Literal["bool", "integer", "string"]
    configured: Callable[[], str]
    variable: str = ""
    choices: tuple[str, ...] = ()
    is_secret: bool = False

    @property
    def is_fixed(self) -> bool:
        return self.variable in settings.GIVEN_VARIABLES


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it is now. Secrets are shown as asterisks."""

    name: str
    source: Literal["variable", "environment"]
    data_type: str
    value: str


def _boolean(*, value: bool) -> str:
    return "true" if value else "false"


_MAIL = "RAGFLOW_MAIL_URL"
_INVITED = (Membership.Role.VIEWER.value, Membership.Role.EDITOR.value, Membership.Role.ADMIN.value)

KNOWN = {
    known.name: known
    for known in (
        Known("enable_whitelist", "bool", lambda: "true"),
        Known("default_role", "string", lambda: "", choices=("", *_INVITED)),
        Known("mail.server", "string", lambda: settings.EMAIL_HOST, _MAIL),
        Known("mail.port", "integer", lambda: str(settings.EMAIL_PORT) if settings.EMAIL_HOST else "", _MAIL),
        Known("mail.use_ssl", "bool", lambda: _boolean(value=settings.EMAIL_USE_SSL), _MAIL),
        Known("mail.use_tls", "bool", lambda: _boolean(value=settings.EMAIL_USE_TLS), _MAIL),
        Known("mail.username", "string", lambda: settings.EMAIL_HOST_USER, _MAIL),
        Known("mail.password", "string", lambda: settings.EMAIL_HOST_PASSWORD, _MAIL, is_secret=True),
        Known("mail.timeout", "integer", lambda: str(settings.EMAIL_TIMEOUT), _MAIL),
        Known("mail.default_sender", "string", lambda: "", "RAGFLOW_MAIL_FROM"),
        Known("registration.open", "bool", lambda: _boolean(value=settings.REGISTRATION_OPEN), "RAGFLOW_REGISTRATION"),
        Known("registration.whitelist", "string", lambda: ""),
    )
}


# -- reading -------------------------------------------------------------------------------------------------------


def value(name: str) -> str:
    return values(name)[name]


def values(prefix: str) -> dict[str, str]:
    """Return the settings whose names begin so, with one query."""
    wanted = {name: known for name, known in KNOWN.items() if name.startswith(prefix)}
    changeable = [name for name, known in wanted.items() if not known.is_fixed]
    stored = {row.name: row for row in SystemSetting.objects.filter(name__in=changeable)} if changeable else {}
    return {
        name: _stored_value(stored[name]) if name in stored else known.configured() for name, known in wanted.items()
    }


def listed(prefix: str = "") -> list[Setting]:
    """Return the settings whose names begin so, as an administrator sees them."""
    return [
        Setting(
            name,
            "environment" if KNOWN[name].is_fixed else "variable",
            KNOWN[name].data_type,
            MASK if KNOWN[name].is_secret and text else text,
        )
        for name, text in values(prefix).items()
    ]


def is_registration_open() -> bool:
    return value("registration.open") == "true"


def may_register(email: str) -> bool:
    """Tell whether the list of addresses and domains (`@example.org`) has the address. An empty list admits all."""
    if value("enable_whitelist") != "true":
        return True
    admitted = value("registration.whitelist").lower().replace(",", " ").split()
    address = email.lower()
    return not admitted or address in admitted or "@" + address.rpartition("@")[2] in admitted


def default_role() -> str:
    """Return the role of an invitation that names none."""
    return value("default_role") or Membership.Role.EDITOR.value


def _stored_value(row: SystemSetting) -> str:
    return (decrypt(row.encrypted_value) or "") if row.encrypted_value else row.value


# -- changing ------------------------------------------------------------------------------------------------------


@transaction.atomic
def change(*, name: str, value: str) -> None:
    """Store a setting. Raises OperationRefused for one that the environment fixes, InvalidArgument for a bad value."""
    known = KNOWN[name]
    if known.is_fixed:
        raise OperationRefused(f"{name} is set by {known.variable} in the server's environment.")
    text = _checked(known, value.strip())
    if name == "registration.open" and text == "true" and settings.IS_PERSONAL:
        raise OperationRefused(
            "This server is set up for the people of its own machine. Open it with RAGFLOW_REGISTRATION=1 instead."
        )
    kept = {"value": "", "encrypted_value": encrypt(text)} if known.is_secret and text else {"value": text}
    SystemSetting.objects.update_or_create(name=name, defaults={"encrypted_value": "", **kept})
    audit.record("change", "setting", id=name, name=name)


def _checked(known: Known, text: str) -> str:
    """Return the value in its normal form."""
    if "\0" in text or len(text) > LONGEST_VALUE:
        raise InvalidArgument(f"{known.name} must be a text of at most {LONGEST_VALUE} characters.")
    if known.data_type == "bool":
        return _checked_bool(known, text)
    if known.data_type == "integer" and text and not (text.isascii() and text.isdecimal() and 0 < int(text) < 65_536):
        raise InvalidArgument(f"{known.name} must be a whole number from 1 to 65535, not {text!r}.")
    if known.name == "mail.timeout" and not text:
        raise InvalidArgument("mail.timeout must be a number of seconds.")
    if known.choices and text not in known.choices:
        raise InvalidArgument(f"{known.name} must be empty or one of {', '.join(filter(None, known.choices))}.")
    if known.data_type == "string" and known.name.startswith("mail.") and not text.isprintable():
        raise InvalidArgument(f"{known.name} must be one line of text.")
    return text


def _checked_bool(known: Known, text: str) -> str:
    if text.lower() in {"true", "1", "on", "yes"}:
        return "true"
    if text.lower() in {"false", "0", "off", "no"}:
        return "false"
    raise InvalidArgument(f"{known.name} must be true or false, not {text!r}.")
