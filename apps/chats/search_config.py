"""The `search_config` of a search app: its defaults, and what its entries mean. Pure functions.

It is kept as it came, by the contract's names; what nobody here reads (switches of a web page) is kept too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.core.errors import BadValue
from apps.core.validation import integer, number
from apps.documents.schemas import MOST_CANDIDATES

WEB_SEARCH_KEY = "tavily_api_key"
"""The entry with a secret, of this configuration and of an assistant's `prompt_config`."""


def defaults() -> dict[str, Any]:
    return {
        "kb_ids": [],
        "doc_ids": [],
        "similarity_threshold": 0.2,
        "vector_similarity_weight": 0.3,
        "use_kg": False,
        "rerank_id": "",
        "top_k": 1024,
        "summary": False,
        "chat_id": "",
        "llm_setting": {},
        "chat_settingcross_languages": [],
        "highlight": False,
        "keyword": False,
        "web_search": False,
        "related_search": False,
        "query_mindmap": False,
    }


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What to search and how. Empty names mean the tenant's default chat model, and no rerank model."""

    dataset_ids: tuple[str, ...] = ()
    document_ids: tuple[str, ...] | None = None  # None: no restriction
    similarity_threshold: float = 0.2
    vector_similarity_weight: float = 0.3
    top_k: int = 1024
    rerank_model: str = ""
    chat_model: str = ""
    options: Mapping[str, Any] | None = None  # of the generation; None: as the caller thinks best
    metadata_filter: Mapping[str, Any] | None = None
    keyword: bool = False
    cross_languages: tuple[str, ...] = ()
    web_search_key: str = field(default="", repr=False)  # of Tavily; empty: the web is not searched


def read_settings(config: Mapping[str, Any]) -> SearchSettings:
    """Read a stored or sent configuration. Raises BadValue that names the first entry of a wrong type."""
    config = {**defaults(), **{key: value for key, value in config.items() if value is not None}}
    top_k = integer("top_k", config["top_k"])
    if not 0 < top_k <= MOST_CANDIDATES:
        raise BadValue(f"`top_k` must be greater than 0 and at most {MOST_CANDIDATES}.")
    languages = config.get("cross_languages") or config["chat_settingcross_languages"]
    return SearchSettings(
        dataset_ids=texts("kb_ids", config["kb_ids"]),
        document_ids=texts("doc_ids", config["doc_ids"]) or None,
        similarity_threshold=number("similarity_threshold", config["similarity_threshold"]),
        vector_similarity_weight=number("vector_similarity_weight", config["vector_similarity_weight"]),
        top_k=top_k,
        rerank_model=_text("rerank_id", config["rerank_id"]),
        chat_model=_text("chat_id", config["chat_id"]),
        options=_object("llm_setting", config["llm_setting"]) or None,
        metadata_filter=_object("meta_data_filter", config.get("meta_data_filter", {})) or None,
        keyword=bool(config["keyword"]),
        cross_languages=texts("cross_languages", languages),
        web_search_key=_text(WEB_SEARCH_KEY, config.get(WEB_SEARCH_KEY, "")) if config["web_search"] else "",
    )


def dataset_ids_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the datasets that a stored configuration names."""
    return texts("kb_ids", config.get("kb_ids") or [])


def without_key(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration for people who may use it but not read its secret."""
    return {key: value for key, value in config.items() if key != WEB_SEARCH_KEY}


def texts(key: str, value: Any) -> tuple[str, ...]:
    """Read a list of texts; a text stands for a list of one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(element, str) for element in values):
        raise BadValue(f"`{key}` must be a list of texts, not {value!r}.")
    return tuple(dict.fromkeys(element for element in values if element))


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"`{key}` must be text, not {value!r}.")
    return value


def _object(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadValue(f"`{key}` must be an object, not {value!r}.")
    return value
