"""What clients may send about datasets, with the contract's wording of every mistake."""

from __future__ import annotations

import string
import uuid
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from apps.core.validation import storable
from apps.datasets.parser_config import ParserConfig

ChunkMethodName = Literal[
    "naive", "book", "email", "laws", "manual", "one", "paper", "picture", "presentation", "qa", "table", "tag"
]
AVATAR_TYPES = ["image/jpeg", "image/png"]
MAX_NAME = 128
MAX_TEXT = 65_535


def _mistake(message: str) -> PydanticCustomError:
    """Return an error whose text is the message alone. Braces are data, not placeholders."""
    return PydanticCustomError("contract", "{message}", {"message": message})


def normal_uuid1(value: str) -> str:
    """Return the 32 lowercase hexadecimal characters of a version-1 UUID in any spelling."""
    try:
        parsed = uuid.UUID(value)
    except ValueError:
        raise _mistake("Invalid UUID1 format") from None
    if parsed.version != 1:
        raise _mistake("Invalid UUID1 format")
    return parsed.hex


def _as_sent(value: str) -> str:
    normal_uuid1(value)
    return value


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds_nul(item) for item in items)


def _avatar(value: str) -> str:
    prefix, comma, _ = value.partition(",")
    if not comma:
        raise _mistake("Missing MIME prefix. Expected format: data:<mime>;base64,<data>")
    if not prefix.startswith("data:"):
        raise _mistake("Invalid MIME prefix format. Must start with 'data:'")
    if prefix.removeprefix("data:").partition(";")[0] not in AVATAR_TYPES:
        raise _mistake(f"Unsupported MIME type. Allowed: {AVATAR_TYPES}")
    return value


def _model_identifier(value: str) -> str:
    model, at, provider = value.partition("@")
    if not at:
        raise _mistake("Embedding model identifier must follow <model_name>@<provider> format")
    if not model or not provider:
        raise _mistake("Both model_name and provider must be non-empty strings")
    if not model.strip() or not provider.strip():
        raise _mistake("Model name and provider cannot be whitespace-only strings")
    return value


def _hexadecimal(value: str) -> str:
    if not set(value) <= set(string.hexdigits):
        raise _mistake("pipeline_id must be hexadecimal")
    return value.lower()


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(storable)
]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(storable)]
Avatar = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(_avatar), AfterValidator(storable)]
EmbeddingModel = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=255),
    AfterValidator(_model_identifier),
    AfterValidator(storable),
]
PipelineId = Annotated[str, StringConstraints(min_length=32, max_length=32), AfterValidator(_hexadecimal)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Dataset(_Body):
    """The fields of create and update, in the order in which mistakes are reported."""

    name: Name = ""
    avatar: Avatar | None = None
    description: Text | None = None
    embedding_model: EmbeddingModel | None = None
    permission: Literal["me", "team"] = "me"
    chunk_method: ChunkMethodName = "naive"
    parse_type: Annotated[int, Field(ge=0, le=64)] | None = None
    pipeline_id: PipelineId | None = None
    parser_config: ParserConfig | None = None

    @field_validator("parser_config")
    @classmethod
    def _empty_is_not_given(cls, value: ParserConfig | None) -> ParserConfig | None:
        if value is None or not value.model_fields_set:
            return None
        size = len(value.model_dump_json())
        if size > MAX_TEXT:
            raise _mistake(f"Parser config exceeds size limit (max 65,535 characters). Current size: {size}")
        if _holds_nul(value.model_dump()):
            raise _mistake("Parser config should not contain the character NUL")
        return value

    @model_validator(mode="after")
    def _method_or_pipeline(self) -> _Dataset:
        given = [name for name in ("parse_type", "pipeline_id") if getattr(self, name) is not None]
        if "chunk_method" in self.model_fields_set:
            if given:
                raise _mistake(f"parser_id provided → disallowed fields present: {', '.join(given)}")
        elif len(given) == 1:
            missing = "pipeline_id" if given == ["parse_type"] else "parse_type"
            raise _mistake(f"parser_id omitted → required fields missing: {missing}")
        return self


class CreateDataset(_Dataset):
    name: Name


def _describe_what_is_sent(schema: dict[str, Any]) -> None:
    """A field that is not sent is left as it is, so it has no default; the dataset's id is part of the path."""
    del schema["properties"]["dataset_id"]
    schema["required"].remove("dataset_id")
    for field in schema["properties"].values():
        field.pop("default", None)


class UpdateDataset(_Dataset):
    model_config = ConfigDict(json_schema_extra=_describe_what_is_sent)

    dataset_id: Annotated[str, AfterValidator(_as_sent)]
    pagerank: Annotated[int, Field(ge=0, le=100)] = 0

    @property
    def sent(self) -> set[str]:
        """The fields that the client named."""
        return self.model_fields_set - {"dataset_id"}


class DeleteDatasets(_Body):
    ids: list[str] | None

    @field_validator("ids")
    @classmethod
    def _normal_and_distinct(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        ids = [normal_uuid1(item) for item in value]
        repeated = [id_ for id_, count in Counter(ids).items() if count > 1]
        if repeated:
            raise _mistake(f"Duplicate ids: '{', '.join(repeated)}'")
        return ids


class ListDatasets(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, AfterValidator(_as_sent)] | None = None
    name: str | None = None
    page: Annotated[int, Field(ge=1)] = 1
    page_size: Annotated[int, Field(ge=1)] = 30
    orderby: Literal["create_time", "update_time"] = "create_time"
    desc: bool = True
