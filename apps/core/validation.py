"""Validating input against pydantic models, with the contract's error text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from apps.core.errors import BadValue, InvalidArgument

_Model = TypeVar("_Model", bound=BaseModel)
_SHOWN = 128  # characters of an offending value that a message repeats


def validate(model: type[_Model], payload: Mapping[str, Any]) -> _Model:
    """Return an instance of the model.

    Raises InvalidArgument with one line per error: `Field: <path> - Message: <text> - Value: <input>`.
    """
    try:
        return model(**payload)
    except ValidationError as error:
        raise InvalidArgument("\n".join(_line(item) for item in error.errors())) from None


def storable(value: str) -> str:
    """Return the text, for pydantic's AfterValidator; NUL is what not every database can store."""
    if "\0" in value:
        raise PydanticCustomError("storable", "String should not contain the character NUL")
    return value


def _line(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    value = str(error["input"])
    if len(value) > _SHOWN:
        value = value[: _SHOWN - 3] + "..."
    return f"Field: <{place}> - Message: <{error['msg']}> - Value: <{value}>"


def integer(name: str, value: Any) -> int:
    """Convert a loosely typed number (text of a query string, a JSON number) as the contract does.

    Raises BadValue naming the field.
    """
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(f"`{name}` must be a whole number, not {value!r}.", reference=repr(error)) from None


def number(name: str, value: Any) -> float:
    """The same for floats. NaN and infinities are refused."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(f"`{name}` must be a number, not {value!r}.", reference=repr(error)) from None
    if result != result or result in (float("inf"), float("-inf")):
        raise BadValue(f"`{name}` must be a finite number.")
    return result
