"""Between the `prompt` and `llm` objects of the API and the way an assistant is stored. Pure functions.

The API's `prompt` mixes three kinds of keys: some are stored in the JSON `prompt_config` under another name, some are
columns of the assistant, and every other key is kept in `prompt_config` as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.core.errors import BadValue, DataError
from apps.core.validation import integer, number
from ragflow.engine.generation.turn import KNOWLEDGE, Parameter

STORED_NAMES = {"prompt": "system", "opener": "prologue", "show_quote": "quote", "variables": "parameters"}
_PUBLIC_NAMES = {stored: public for public, stored in STORED_NAMES.items()}

# Public name -> column. The names of the columns are accepted too.
COLUMNS = {
    "similarity_threshold": "similarity_threshold",
    "keywords_similarity_weight": "vector_similarity_weight",
    "vector_similarity_weight": "vector_similarity_weight",
    "top_n": "top_n",
    "top_k": "top_k",
    "rerank_model": "rerank_model",
    "rerank_id": "rerank_model",
}
_MAX_COUNT = 2**31 - 1

DEFAULTS: Mapping[str, Any] = {
    "prologue": "Hi! I'm your assistant. What can I do for you?",
    "quote": True,
    "parameters": [{"key": KNOWLEDGE, "optional": False}],
    "empty_response": "Sorry! No relevant content was found in the knowledge base!",
    "tts": False,
    "refine_multiturn": True,
}


@dataclass(frozen=True, slots=True)
class PromptChanges:
    """A `prompt` object taken apart: entries of `prompt_config` by stored name, and columns of the assistant."""

    config: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


def read_prompt(prompt: Mapping[str, Any]) -> PromptChanges:
    """Take a `prompt` object apart. Where a key is given under both its names, the public one wins.

    The weight is stored as it comes, although it reads back as 1 - weight: clients depend on it.
    Raises BadValue for a column's value of the wrong type.
    """
    changes = PromptChanges()
    for name in sorted(prompt, key=_is_public):  # public names last, so that they win
        if name in COLUMNS:
            changes.columns[COLUMNS[name]] = column_value(COLUMNS[name], prompt[name])
        else:
            changes.config[STORED_NAMES.get(name, name)] = prompt[name]
    return changes


def _is_public(name: str) -> bool:
    return name not in _PUBLIC_NAMES and name not in {"vector_similarity_weight", "rerank_id"}


def column_value(column: str, value: Any) -> float | int | str:
    """Convert the value of one of the columns in `COLUMNS`. Raises BadValue."""
    if column in {"similarity_threshold", "vector_similarity_weight"}:
        return number(column, value)
    if column in {"top_n", "top_k"}:
        count = integer(column, value)
        if abs(count) > _MAX_COUNT:
            raise BadValue(f"`{column}` is out of range: {count}.")
        return count
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadValue(f"`{column}` must be text, not {value!r}.")
    return value


def completed(config: Mapping[str, Any], *, default_system: str) -> dict[str, Any]:
    """Fill in what a new assistant's `prompt_config` lacks. Only absent keys get a default, except the system text."""
    full = {**DEFAULTS, **config}
    return {"system": full.pop("system", None) or default_system, **full}


def check_variables(config: Mapping[str, Any]) -> None:
    """Raise DataError if a variable that is not optional does not occur in the system text."""
    system = config["system"]
    if not isinstance(system, str):
        raise BadValue(f"The system text of the prompt must be text, not {system!r}.")
    for parameter in parameters_of(config):
        if not parameter.optional and f"{{{parameter.key}}}" not in system:
            raise DataError(f"Parameter '{parameter.key}' is not used")


def parameters_of(config: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Return the variables that the prompt declares. Raises BadValue for an element without `key` or `optional`."""
    declared = config.get("parameters") or ()
    if not isinstance(declared, list | tuple):
        raise BadValue("The `variables` of the prompt must be a list.")
    return tuple(_parameter(element) for element in declared)


def _parameter(element: Any) -> Parameter:
    if not isinstance(element, Mapping):
        raise BadValue(f"Each element of the prompt's `variables` must be an object, not {element!r}.")
    for name in ("optional", "key"):
        if name not in element:
            raise BadValue(
                f"Each element of the prompt's `variables` needs `key` and `optional`: {dict(element)!r}.",
                reference=f"KeyError({name!r})",
            )
    return Parameter(str(element["key"]), bool(element["optional"]))


def languages_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the languages into which a question is translated before it is searched for."""
    languages = config.get("cross_languages")
    return tuple(str(name) for name in languages) if isinstance(languages, list) else ()


def public_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored `prompt_config` by the names of the API."""
    return {_PUBLIC_NAMES.get(name, name): value for name, value in config.items()}


def read_llm(llm: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the model that an `llm` object names, if any, and its generation options as they came."""
    options = dict(llm)
    name = options.pop("model_name", None)
    if name is not None and not isinstance(name, str):
        raise BadValue(f"`llm.model_name` must be text, not {name!r}.")
    return name, options
