"""What the bodies of dialogs mean, with the contract's wording of every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apps.chats import schemas
from apps.chats.search_config import WEB_SEARCH_KEY
from apps.core.errors import BadValue, DataError
from ragflow.engine.generation.turn import KNOWLEDGE

LONGEST_NAME = 255  # bytes
DEFAULTS: Mapping[str, Any] = {
    "name": "New Dialog",
    "description": "A helpful dialog",
    "top_n": 6,
    "top_k": 1024,
    "rerank_model": "",
    "similarity_threshold": 0.1,
    "vector_similarity_weight": 0.3,
}
_SLOT = f"{{{KNOWLEDGE}}}"


@dataclass(frozen=True, slots=True)
class DialogData:
    """A request to create or change a dialog. What is None or missing was not given."""

    prompt_config: dict[str, Any]
    columns: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    options: dict[str, Any] | None = None
    dataset_ids: list[Any] | None = None


def new_dialog(body: Mapping[str, Any]) -> DialogData:
    """Read the body of a creation. Unknown keys are ignored. Raises DataError and BadValue."""
    data = _dialog(body)
    return replace(data, columns={**DEFAULTS, **data.columns})


def dialog_changes(body: Mapping[str, Any]) -> DialogData:
    """Read the body of an update. Raises DataError and BadValue."""
    return _dialog(body, needs_source=True)


def dialog_ids_of(value: Any) -> list[str]:
    """Read the ids to delete; a text counts as a list of its characters. Raises BadValue."""
    if not isinstance(value, list | str):
        raise BadValue(
            f"`dialog_ids` must be a list of ids, not {value!r}.",
            reference=repr(TypeError(f"'{type(value).__name__}' object is not iterable")),
        )
    return [str(id_) for id_ in value]


def _dialog(body: Mapping[str, Any], *, needs_source: bool = False) -> DialogData:
    name = _name_of(body.get("name", DEFAULTS["name"]))
    config = _prompt_config(body, needs_source=needs_source)
    renamed = {"prompt", "llm", "dataset_ids", "prompt_config", "name"}  # names of other endpoints mean nothing here
    known = {key: value for key, value in body.items() if key not in renamed}
    if "kb_ids" in known:
        known["kb_ids"] = known["kb_ids"] or []
    data = schemas.create_assistant(known)
    return DialogData(
        prompt_config=config,
        columns=data.columns | ({"name": name} if "name" in body else {}),
        model=data.model_name or None,
        options=(data.options or {}) if "llm_setting" in body else None,
        dataset_ids=data.dataset_ids,
    )


def _name_of(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError("Dialog name must be string.")
    if not value.strip():
        raise DataError("Dialog name can't be empty.")
    if len(value.encode("utf-8", "replace")) > LONGEST_NAME:
        raise DataError(f"Dialog name length is {len(value)} which is larger than {LONGEST_NAME}")
    return value


def _prompt_config(body: Mapping[str, Any], *, needs_source: bool) -> dict[str, Any]:
    sent = body["prompt_config"]
    if not isinstance(sent, dict):
        raise BadValue(f"`prompt_config` must be an object, not {sent!r}.")
    config: dict[str, Any] = {"system": "", "parameters": [], **sent}
    system = config["system"] = config["system"] or ""
    if not isinstance(system, str):
        raise BadValue(f"`prompt_config.system` must be text, not {system!r}.")
    if body.get("kb_ids") and not config["parameters"] and _SLOT in system:
        config["parameters"] = [{"key": KNOWLEDGE, "optional": False}]
    if needs_source and not body.get("kb_ids") and not config.get(WEB_SEARCH_KEY) and _SLOT in system:
        raise DataError(f"Please remove `{_SLOT}` in system prompt since no dataset / Tavily used here.")
    _check_parameters(config["parameters"], system)
    return config


def _check_parameters(parameters: Any, system: str) -> None:
    """Raise DataError at the first parameter that is malformed, or required and not used."""
    if not isinstance(parameters, list):
        raise DataError("`prompt_config.parameters` must be a list.")
    for parameter in parameters:
        if not isinstance(parameter, dict) or not {"key", "optional"} <= parameter.keys():
            raise DataError(f"Each of `prompt_config.parameters` needs `key` and `optional`: {parameter!r}.")
        if not parameter["optional"] and f"{{{parameter['key']}}}" not in system:
            raise DataError(f"Parameter '{parameter['key']}' is not used")
