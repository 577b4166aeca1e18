"""What clients may send about accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from apps.accounts.model_schemas import Address
from apps.core.errors import BadValue, InvalidArgument
from apps.core.principal import Scope
from apps.core.validation import storable, validate

LONGEST_AVATAR = 1024 * 1024

Email = Annotated[str, StringConstraints(max_length=255), AfterValidator(storable)]
ShortText = Annotated[str, StringConstraints(max_length=100), AfterValidator(storable)]
Label = Annotated[str, StringConstraints(max_length=32), AfterValidator(storable)]
Identifier = Annotated[str, StringConstraints(max_length=255), AfterValidator(storable)]
LongText = Annotated[str, StringConstraints(max_length=LONGEST_AVATAR), AfterValidator(storable)]
Ids = Annotated[list[Identifier], Field(max_length=1000)]


class Registration(BaseModel):
    email: Email
    nickname: ShortText
    password: Any


class Login(BaseModel):
    email: Email = ""
    password: Any = None


class Profile(BaseModel):
    """The fields of a person that a person may change."""

    nickname: ShortText = ""
    avatar: LongText | None = None
    language: Label = ""
    color_schema: Label = ""
    timezone: Annotated[str, StringConstraints(max_length=64), AfterValidator(storable)] = ""


class TenantSettings(BaseModel):
    """The fields of a tenant under their names on the wire. A model that is null is not chosen."""

    model_config = ConfigDict(populate_by_name=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(storable)] = ""
    chat_model: Identifier | None = Field("", alias="llm_id")
    embedding_model: Identifier | None = Field("", alias="embd_id")
    rerank_model: Identifier | None = Field("", alias="rerank_id")
    speech_to_text_model: Identifier | None = Field("", alias="asr_id")
    image_to_text_model: Identifier | None = Field("", alias="img2txt_id")
    text_to_speech_model: Identifier | None = Field(None, alias="tts_id")
    parsers: LongText = Field("", alias="parser_ids")


class LangfuseData(BaseModel):
    """Keys of a project at Langfuse. Empty ones are told apart by the service."""

    host: Address
    public_key: Annotated[str, StringConstraints(max_length=255), AfterValidator(storable)]
    secret_key: Annotated[str, StringConstraints(max_length=1024), AfterValidator(storable)]


class Invitation(BaseModel):
    email: Email
    role: str | None = None  # the installation's default


class RoleChange(BaseModel):
    role: str


class NewToken(BaseModel):
    """What a new token is to be good for. Absent: whatever the caller itself may do, for ever."""

    name: ShortText | None = None
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None
    dataset_ids: Ids | None = None
    assistant_ids: Ids | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    expires_at: AwareDatetime | None = None


class BoundToken(BaseModel):
    bound_to: Identifier
    is_agent: bool


class Rotation(BaseModel):
    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 24 * 3600)] = 3600


_NEVER_COPIED = frozenset(
    {
        "password",
        "new_password",
        "email",
        "status",
        "is_superuser",
        "login_channel",
        "is_anonymous",
        "is_active",
        "is_authenticated",
        "last_login_time",
    }
)


def profile_changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a person to write. Raises BadValue for an unknown one, InvalidArgument for a bad value."""
    given = {name: value for name, value in body.items() if name not in _NEVER_COPIED}
    _refuse_unknown(given, set(Profile.model_fields), reference="Update failure!", data=False)
    return validate(Profile, given).model_dump(exclude_unset=True)


def tenant_changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a tenant to write. Raises BadValue for an unknown one, InvalidArgument for a bad value."""
    given = {name: value for name, value in body.items() if name != "tenant_id"}
    _refuse_unknown(given, {field.alias or name for name, field in TenantSettings.model_fields.items()})
    changes = validate(TenantSettings, given).model_dump(exclude_unset=True)
    return {name: "" if value is None and name != "text_to_speech_model" else value for name, value in changes.items()}


def bound_token(body: Mapping[str, Any]) -> BoundToken:
    """Return what a token is to be bound to: `canvas_id`, else `dialog_id`. Raises BadValue without either."""
    if body.get("canvas_id"):
        return validate(BoundToken, {"bound_to": body["canvas_id"], "is_agent": True})
    if "dialog_id" not in body:
        raise BadValue("`dialog_id` or `canvas_id` is required.", reference="KeyError('dialog_id')")
    return validate(BoundToken, {"bound_to": body["dialog_id"], "is_agent": False})


def text_of(body: Mapping[str, Any], name: str) -> str:
    """Return a field that must be text, empty when absent. Raises InvalidArgument."""
    value = body.get(name) or ""
    if not isinstance(value, str) or "\0" in value or len(value) > 255:
        raise InvalidArgument(f"`{name}` must be a text of at most 255 characters.", data=False)
    return value


def _refuse_unknown(
    given: Mapping[str, Any], known: set[str], *, reference: str | None = None, data: bool | None = None
) -> None:
    for name in given:
        if name not in known:
            raise BadValue(f"There is no field `{name}` to set.", reference=reference, data=data)
