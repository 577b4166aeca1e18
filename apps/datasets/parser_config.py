"""How the files of a dataset are cut: what a client may say, and what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from apps.datasets.models import ChunkMethod

# Clients compare this text; it is part of the contract.
RAPTOR_PROMPT = (
    "Please summarize the following paragraphs. Be careful with the numbers, do not make things up. "
    "Paragraphs as following:\n      {cluster_content}\nThe above is the content you need to summarize."
)
ENTITY_TYPES = ("organization", "person", "geo", "event", "category")


class _Config(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class RaptorConfig(_Config):
    use_raptor: bool = False
    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = RAPTOR_PROMPT
    max_token: Annotated[int, Field(ge=1, le=2048)] = 256
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    max_cluster: Annotated[int, Field(ge=1, le=1024)] = 64
    random_seed: Annotated[int, Field(ge=0)] = 0
    auto_disable_for_structured_data: bool = True


class GraphragConfig(_Config):
    use_graphrag: bool = False
    entity_types: list[str] = Field(default_factory=lambda: list(ENTITY_TYPES))
    method: Literal["light", "general"] = "light"
    community: bool = False
    resolution: bool = False


class ParserConfig(_Config):
    auto_keywords: Annotated[int, Field(ge=0, le=32)] = 0
    auto_questions: Annotated[int, Field(ge=0, le=10)] = 0
    chunk_token_num: Annotated[int, Field(ge=1, le=2048)] = 512
    delimiter: Annotated[str, StringConstraints(min_length=1)] = r"\n"
    graphrag: GraphragConfig = Field(default_factory=GraphragConfig)
    html4excel: bool = False
    layout_recognize: str = "DeepDOC"
    raptor: RaptorConfig = Field(default_factory=RaptorConfig)
    tag_kb_ids: list[str] = Field(default_factory=list)
    topn_tags: Annotated[int, Field(ge=1, le=10)] = 1
    filename_embd_weight: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.1
    task_page_size: Annotated[int, Field(ge=1)] | None = None
    pages: list[list[int]] | None = None


def defaults_of(chunk_method: str) -> dict[str, Any]:
    """Return the configuration of a chunk method when nobody says anything."""
    return {"table_context_size": 0, "image_context_size": 0} | _of_method(chunk_method)


def _of_method(chunk_method: str) -> dict[str, Any]:
    off = {"raptor": {"use_raptor": False}, "graphrag": {"use_graphrag": False}}
    match chunk_method:
        case ChunkMethod.NAIVE:
            return {
                "layout_recognize": "DeepDOC",
                "chunk_token_num": 512,
                "delimiter": "\n",
                "auto_keywords": 0,
                "auto_questions": 0,
                "html4excel": False,
                "topn_tags": 3,
                "raptor": {
                    "use_raptor": True,
                    "prompt": RAPTOR_PROMPT,
                    "max_token": 256,
                    "threshold": 0.1,
                    "max_cluster": 64,
                    "random_seed": 0,
                },
                "graphrag": {"use_graphrag": True, "entity_types": list(ENTITY_TYPES), "method": "light"},
            }
        case "qa" | "manual" | "paper" | "book" | "laws" | "presentation":
            return off
        case "knowledge_graph":
            types = ["organization", "person", "location", "event", "time"]
            return {"chunk_token_num": 8192, "delimiter": r"\n", "entity_types": types} | off
        case _:
            return {}


def initial(chunk_method: str, given: ParserConfig | None, *, chat_model: str) -> dict[str, Any]:
    """Return the configuration of a new dataset. Giving any of it fills the rest with the schema's defaults."""
    config = defaults_of(chunk_method)
    if given is not None:
        config = deep_merge(config, given.model_dump())
    return config | {"llm_id": chat_model}


def updated(
    current: Mapping[str, Any], given: ParserConfig | None, *, chunk_method: str | None, current_method: str
) -> dict[str, Any]:
    """Return the configuration after an update: the keys that were sent go over the current ones.

    Without any, a different chunk method brings its defaults.
    """
    sent = given.model_dump(exclude_unset=True) if given is not None else {}
    if sent:
        return deep_merge(current, sent)
    if chunk_method is not None and chunk_method != current_method:
        return defaults_of(chunk_method)
    return dict(current)


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` on top: objects are merged key by key, anything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
