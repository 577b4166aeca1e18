"""The providers of models that a tenant may configure, and what is known of their models (`catalogue.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ragflow.engine.registry import BUILTIN

CHAT, EMBEDDING, RERANK = "chat", "embedding", "rerank"
VISION, SPEECH_TO_TEXT, TEXT_TO_SPEECH, OCR = "image2text", "speech2text", "tts", "ocr"
TYPES = (CHAT, EMBEDDING, SPEECH_TO_TEXT, VISION, RERANK, TEXT_TO_SPEECH, OCR)
"""The types of models, by the contract's words."""

DEFAULT_TOKENS = 8192  # what a model takes of which nothing else is known

_FILE = Path(__file__).with_suffix(".toml")
_TAGS = {
    CHAT: "LLM",
    EMBEDDING: "TEXT EMBEDDING",
    RERANK: "TEXT RE-RANK",
    VISION: "IMAGE2TEXT",
    SPEECH_TO_TEXT: "SPEECH2TEXT",
    TEXT_TO_SPEECH: "TTS",
    OCR: "OCR",
}


@dataclass(frozen=True, slots=True)
class KnownModel:
    name: str
    type: str
    max_tokens: int
    calls_tools: bool

    @property
    def tags(self) -> str:
        size = f"{self.max_tokens // 1000}k" if self.max_tokens >= 1000 else str(self.max_tokens)
        return f"{_TAGS[self.type]},{size}"


@dataclass(frozen=True)
class Provider:
    """A provider; the file explains the fields. `models` are sorted by name."""

    name: str
    models: tuple[KnownModel, ...]
    rank: int = 0
    base_url: str = ""
    rerank_url: str = ""
    rerank_style: str = ""
    api_path: str = ""
    self_hosted: bool = False
    suffix: str = ""
    types: tuple[str, ...] = TYPES
    hidden: bool = False

    @property
    def model_types(self) -> list[str]:
        """The types of its known models; where none is known, those that it may have."""
        return list(dict.fromkeys(model.type for model in self.models)) or list(self.types)

    @property
    def tags(self) -> str:
        return ",".join(_TAGS[type_] for type_ in self.model_types if type_ in _TAGS)

    @cached_property
    def _by_name(self) -> dict[str, KnownModel]:
        return {model.name: model for model in self.models}

    def model(self, name: str) -> KnownModel | None:
        return self._by_name.get(name)

    def stored_name(self, model: str) -> str:
        """Return the name under which a model of this provider is kept and listed."""
        return model if model.endswith(self.suffix) else model + self.suffix

    def own_name(self, stored: str) -> str:
        """Return the name by which the provider knows a model."""
        return stored.removesuffix(self.suffix)

    def address(self, given: str) -> str:
        """Return the base URL for what somebody gave as one; for nothing, the provider's own, which may be empty."""
        if not given:
            return self.base_url
        given = given.rstrip("/")
        return given if given.endswith(self.api_path) else given + self.api_path

    def rerank_address(self, given: str) -> str:
        """The same for rerank models."""
        if not given:
            return self.rerank_url or self.base_url
        if self.rerank_style == "tei":  # which has this endpoint beside OpenAI's ones, not among them
            return given.rstrip("/").removesuffix(self.api_path)
        return self.address(given)


@cache
def providers() -> Mapping[str, Provider]:
    """Return all providers by name, those of higher rank first."""
    with _FILE.open("rb") as file:
        found = [_provider(item) for item in tomllib.load(file)["provider"]]
    found.sort(key=lambda provider: -provider.rank)
    return MappingProxyType({provider.name: provider for provider in found})


def _provider(item: dict[str, Any]) -> Provider:
    tools = item.pop("tools", False)
    models = [
        KnownModel(name, type_, max_tokens, calls_tools=tools and type_ in {CHAT, VISION})
        for type_ in TYPES
        for name, max_tokens in item.pop(type_, {}).items()
    ]
    return Provider(models=tuple(sorted(models, key=lambda model: model.name)), **item)


def offered() -> list[Provider]:
    """Return the providers that a tenant may configure."""
    return [provider for provider in providers().values() if not provider.hidden]


def builtin() -> Provider:
    return providers()[BUILTIN]
