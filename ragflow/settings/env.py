"""Reading configuration from the environment, and remembering what can be configured.

Every variable is declared where it is used, with its default and one sentence; `docs/configuration.md` is generated
from these declarations. A variable that holds a secret may instead be given as a file: NAME_FILE=/run/secrets/name.
Where RAGFlow has a variable for the same under another name, that one is read when ours is not given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    default: str
    help: str
    section: str
    secret: bool = False
    also: str = ""  # RAGFlow's name for it


ESCAPED = "In a user name or password, characters like @, #, / and % are written as %40, %23, %2F and %25."
"""What to add when a URL cannot be read: that is usually why."""

DECLARED: list[Variable] = []
GIVEN: set[str] = set()
"""The names of the variables that have a value."""


class Section:
    """Declares and reads the variables of one concern."""

    def __init__(self, title: str) -> None:
        self.title = title

    def text(
        self,
        name: str,
        default: str = "",
        *,
        shown_default: str | None = None,
        help: str,  # noqa: A002
        secret: bool = False,
        verbatim: bool = False,
        also: str = "",
    ) -> str:
        """Read text without the white space around it, unless that is part of it (`verbatim`)."""
        shown = default if shown_default is None else shown_default
        DECLARED.append(Variable(name, shown, help, self.title, secret, also))
        value = _read(name, secret=secret) or (_read(also, secret=secret) if also else "")
        if value:
            GIVEN.add(name)
        return (os.environ[name] if verbatim and value else value) or default

    def integer(
        self,
        name: str,
        default: int,
        *,
        minimum: int = 0,
        maximum: int | None = None,
        shown_default: str | None = None,
        help: str,  # noqa: A002
        also: str = "",
    ) -> int:
        raw = self.text(name, str(default), shown_default=shown_default, help=help, also=also)
        try:
            value = int(raw)
        except ValueError:
            raise ImproperlyConfigured(f"{_names(name, also)} must be a whole number, not {raw!r}.") from None
        if value < minimum:
            raise ImproperlyConfigured(f"{_names(name, also)} must be at least {minimum}, not {value}.")
        if maximum is not None and value > maximum:
            raise ImproperlyConfigured(f"{_names(name, also)} must be at most {maximum}, not {value}.")
        return value

    def listed(
        self,
        name: str,
        default: str = "",
        *,
        shown_default: str | None = None,
        help: str,  # noqa: A002
    ) -> list[str]:
        """Read what stands between commas, without the white space around it."""
        raw = self.text(name, default, shown_default=shown_default, help=help)
        return [part.strip() for part in raw.split(",") if part.strip()]

    def flag(self, name: str, default: bool, *, help: str, also: str = "") -> bool:  # noqa: A002
        raw = self.text(name, "1" if default else "0", help=help, also=also).lower()
        if raw in {"1", "true", "yes", "on", "open"}:
            return True
        if raw in {"0", "false", "no", "off", "closed"}:
            return False
        raise ImproperlyConfigured(f"{_names(name, also)} must be 1 or 0, not {raw!r}.")

    def choice(self, name: str, default: str, choices: tuple[str, ...], *, help: str) -> str:  # noqa: A002
        value = self.text(name, default, help=help).lower()
        if value not in choices:
            raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return value

    def path(self, name: str, default: Path, *, shown_default: str, help: str) -> Path:  # noqa: A002
        DECLARED.append(Variable(name, shown_default, help, self.title))
        return Path(_read(name) or default).expanduser().resolve()


def _names(name: str, also: str) -> str:
    return f"{name} (or {also})" if also else name


def _read(name: str, *, secret: bool = False) -> str:
    value = os.environ.get(name, "").strip()
    if value or not secret:
        return value
    file = os.environ.get(f"{name}_FILE", "").strip()
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error.strerror}.") from None
