"""What clients may send about model providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from apps.accounts.catalogue import TYPES, offered
from apps.core.errors import BadValue, DataError
from apps.core.validation import storable, validate

_KEY_PARTS = {
    "VolcEngine": ("ark_api_key", "endpoint_id"),
    "OpenRouter": ("api_key", "provider_order"),
    "Azure-OpenAI": ("api_key", "api_version"),
}
"""Providers whose key is stored as a JSON object of these parameters."""


def _address(value: str) -> str:
    value = value.strip()
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        raise PydanticCustomError(
            "address", "Input should be an address like https://models.example.com/v1, without a password"
        )
    return value


Word = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(storable)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
Key = Annotated[str, StringConstraints(max_length=16384), AfterValidator(storable)]
Address = Annotated[str, StringConstraints(max_length=512), AfterValidator(storable), AfterValidator(_address)]


class ProviderKey(BaseModel):
    llm_factory: Word
    api_key: Key
    base_url: Address = ""


class NewModel(BaseModel):
    llm_factory: Word
    model_type: str
    llm_name: ModelName
    api_key: Key = "x"
    api_base: Address = ""
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None


class ModelRef(BaseModel):
    llm_factory: Word
    llm_name: ModelName


class ModelStatus(ModelRef):
    status: Annotated[str, StringConstraints(pattern="^[01]$")] = "1"


class ProviderRef(BaseModel):
    llm_factory: Word


def provider_key(body: Mapping[str, Any]) -> ProviderKey:
    """Raises InvalidArgument."""
    return validate(ProviderKey, {**body, "base_url": body.get("base_url") or ""})


def new_model(body: Mapping[str, Any]) -> NewModel:
    """Return a model to add, its key assembled as its provider wants it.

    Raises DataError for a provider that is not offered, BadValue and InvalidArgument.
    """
    wanted = body["llm_factory"]
    if not any(provider.name == wanted for provider in offered()):
        raise DataError(f"LLM factory {wanted} is not allowed")
    for name in ("model_type", "llm_name"):
        if name not in body:
            raise BadValue(f"`{name}` is required.", reference=f"KeyError('{name}')")
    if body["model_type"] not in TYPES:
        raise BadValue(
            f"`model_type` must be one of {', '.join(TYPES)}, not {body['model_type']!r}.",
            reference=repr(RuntimeError(f"Unknown model type: {body['model_type']}")),
        )
    given = {name: value for name, value in body.items() if value is not None}
    return validate(NewModel, given | {"api_key": _assembled_key(given)})


def model_status(body: Mapping[str, Any]) -> ModelStatus:
    """Raises InvalidArgument."""
    return validate(ModelStatus, {**body, "status": str(body.get("status", "1"))})


def _assembled_key(body: Mapping[str, Any]) -> Any:
    provider = body.get("llm_factory")
    if provider == "XunFei Spark":
        return body.get("spark_api_password", "x")
    if provider not in _KEY_PARTS:
        return body.get("api_key", "x")
    return json.dumps({part: body.get(part, "") for part in _KEY_PARTS[provider]})
