"""What clients may send to the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from apps.accounts.schemas import Email
from apps.administration.errors import AdminError
from apps.core.validation import validate


class NewUser(BaseModel):
    username: Email
    password: str
    role: str = "user"


class PasswordChange(BaseModel):
    new_password: str


class Activation(BaseModel):
    activate_status: str


class NewValue(BaseModel):
    var_name: str
    var_value: str


class NewRole(BaseModel):
    role_name: str
    description: str


class Permission(BaseModel):
    actions: list[str]
    resource: str


def new_user(body: Mapping[str, Any]) -> NewUser:
    """Return the user to make. Raises AdminError."""
    body = {"username": body.get("user_name"), **body}  # as the command line of 0.22 calls it
    if not body.get("username") or not body.get("password"):
        raise AdminError(400, "Username and password are required")
    user = validate(NewUser, body)
    if user.role not in {"user", "admin"}:
        raise AdminError(400, f"Invalid role: {user.role}. It must be user or admin.")
    return user


def activation(body: Mapping[str, Any]) -> bool:
    """Return whether the user shall be active. Raises AdminError."""
    status = body.get("activate_status")
    if not status:
        raise AdminError(400, "Activation status is required")
    if not isinstance(status, str) or status.lower() not in {"on", "off"}:
        raise AdminError(400, f"Invalid activate_status: {status}")
    return status.lower() == "on"


def new_value(body: Mapping[str, Any]) -> NewValue:
    """Return the setting to store; numbers and truth values count as their text. Raises AdminError."""
    if not body.get("var_name"):
        raise AdminError(400, "Var name is required")
    if body.get("var_value") is None:
        raise AdminError(400, "Var value is required")
    given = body["var_value"]
    text = ("true" if given else "false") if isinstance(given, bool) else given
    return validate(NewValue, {"var_name": body["var_name"], "var_value": str(text) if is_number(text) else text})


def is_number(value: object) -> bool:
    return isinstance(value, int | float)


def required(body: Mapping[str, Any], name: str, sentence: str) -> Any:
    """Return a field that must not be empty. Raises AdminError with the sentence."""
    if not body.get(name):
        raise AdminError(400, sentence)
    return body[name]
