"""Which models there are: from the name a dataset or assistant carries to the object that does the work.

A model is named "model@provider". The provider Builtin (in any case) needs no key and no network. Every other name is
asked at the OpenAI-compatible endpoint of the settings; a RemoteModel says itself where it is asked.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from ragflow.engine.embedding.base import Embedder
from ragflow.engine.errors import ModelError, ModelNotFound
from ragflow.engine.http import Endpoint
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.rerank.base import Reranker
from ragflow.engine.speech.base import SpeechToText, TextToSpeech

BUILTIN = "Builtin"
OPENAI = "OpenAI"
OPENAI_URL = "https://api.openai.com/v1"
OPENAI_CHAT_MODEL = "gpt-4o-mini"  # when OpenAI itself is used and no chat model is named

MINILM = "all-MiniLM-L6-v2@Builtin"
HASHING = "hash-1024@Builtin"
EXTRACTIVE = "extractive@Builtin"
BUILTIN_MODELS = frozenset(name.partition("@")[0].lower() for name in (MINILM, HASHING, EXTRACTIVE))

KEPT_MODELS = 256
ANY_HOST = "*"

Kind = Literal["chat", "embedding", "rerank", "speech_to_text", "text_to_speech"]
AnyModel = Embedder | ChatModel | Reranker | SpeechToText | TextToSpeech
Model = TypeVar("Model")


def must_be_public(url: str, private_hosts: frozenset[str]) -> bool:
    """Tell whether a URL that a tenant named has to be a public one; so it is of one that is no URL.

    `private_hosts` are the hosts that need not be: "host", "host:port", or "*" for any.
    """
    try:
        parts = urlsplit(url)
        named = {parts.hostname, f"{parts.hostname}:{parts.port}", ANY_HOST}
    except ValueError:  # of a port or an IPv6 address that is none
        return True
    return named.isdisjoint(private_hosts)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the operator configured. Empty text means: not set."""

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    chat_model: str = ""
    embedding_model: str = ""
    rerank_model: str = ""
    speech_to_text_model: str = ""
    text_to_speech_model: str = ""
    voice: str = ""  # of the text to speech model
    context_tokens: int = 8192
    model_folder: str = ""  # with the files of all-MiniLM-L6-v2
    cache_folder: str = ""  # where `manage.py fetch_model` puts them
    threads: int | None = None  # of one local embedding call; None: all cores
    private_hosts: frozenset[str] = frozenset()  # "host" or "host:port" that tenants may name though private; or "*"

    def is_guarded(self, url: str) -> bool:
        """Tell whether an address that a tenant named has to be a public one."""
        return must_be_public(url, self.private_hosts)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A parsed model name. `provider` is empty when the name has no "@"."""

    model: str
    provider: str = ""

    @classmethod
    def parse(cls, name: str) -> ModelSpec:
        """Split at the last "@": model names may hold one themselves."""
        model, separator, provider = name.strip().rpartition("@")
        return cls(model, provider) if separator else cls(provider)

    @property
    def is_builtin(self) -> bool:
        if not self.provider:
            return self.model.lower() in BUILTIN_MODELS
        return self.provider.lower() == BUILTIN.lower()

    def __str__(self) -> str:
        return f"{self.model}@{self.provider}" if self.provider else self.model


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model at a provider, with everything that is needed to ask it. Equal ones share a client."""

    name: str  # "model@provider", as it is shown
    model: str  # as the provider knows it
    base_url: str
    api_key: str = field(default="", repr=False)
    context_tokens: int = 8192
    rerank_style: str = ""  # a key of rerank.http.STYLES
    extra_body: str = ""  # JSON object that each chat request carries
    trusted: bool = True  # False: a tenant chose the address
    account: str = ""  # for whom its tokens are counted


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One line of `describe()`: is this model offered, is it the default of its kind, and why (not)."""

    kind: Kind
    name: str
    available: bool
    default: bool
    reason: str


class Registry:
    """Builds models by name and keeps them. Safe to share between threads; building one loads nothing heavy."""

    def __init__(self, settings: ModelSettings, *, patience: float | None = None) -> None:
        """`patience` is how many seconds a request may wait to be tried again; None: each model's own."""
        self.settings = settings
        self._tries: dict[str, Any] = {} if patience is None else {"patience": patience}
        self._models: OrderedDict[tuple[Kind, str | RemoteModel], AnyModel] = OrderedDict()
        self._lock = threading.Lock()

    # -- models by name --------------------------------------------------------------------------------------------

    def embedder(self, which: str | RemoteModel) -> Embedder:
        """Return the embedding model of this name; empty text means the default. Raises ModelNotFound.

        Any name at the provider Builtin is accepted: names other than the two built-in models stand for the default
        one of them, under the name that was asked for.
        """
        return self._kept("embedding", which or self.default_embedding_name, self._build_embedder)

    def chat_model(self, which: str | RemoteModel) -> ChatModel:
        """Return the chat model of this name; empty text means the default. Raises ModelNotFound."""
        return self._kept("chat", which or self.default_chat_name, self._build_chat_model)

    def reranker(self, which: str | RemoteModel) -> Reranker:
        """Return the rerank model of this name. Raises ModelNotFound."""
        return self._kept("rerank", which, self._build_reranker)

    def speech_to_text(self, which: str | RemoteModel) -> SpeechToText:
        """Return the model of this name that writes down speech. Raises ModelNotFound."""
        return self._kept("speech_to_text", which, self._build_speech_to_text)

    def text_to_speech(self, which: str | RemoteModel) -> TextToSpeech:
        """Return the model of this name that speaks. Raises ModelNotFound."""
        return self._kept("text_to_speech", which, self._build_text_to_speech)

    def is_guarded(self, target: RemoteModel) -> bool:
        """Tell whether the model's address has to be a public one."""
        return not target.trusted and self.settings.is_guarded(target.base_url)

    def _kept(self, kind: Kind, which: str | RemoteModel, build: Callable[[ModelSpec | RemoteModel], Model]) -> Model:
        with self._lock:
            model = self._models.get((kind, which))
            if model is None:
                model = cast("AnyModel", build(self._target_of(which)))
                self._models[kind, which] = model
            self._models.move_to_end((kind, which))
            while len(self._models) > KEPT_MODELS:  # anyone may invent names; what a model has loaded is kept elsewhere
                self._models.popitem(last=False)
            return cast("Model", model)

    def _target_of(self, which: str | RemoteModel) -> ModelSpec | RemoteModel:
        """Return a built-in model's name, or where another one is asked."""
        if isinstance(which, RemoteModel):
            return which
        spec = ModelSpec.parse(which)
        if spec.is_builtin:
            return spec
        endpoint = self._endpoint_of(spec)
        return RemoteModel(
            name=str(spec),
            model=spec.model,
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            context_tokens=self.settings.context_tokens,
        )

    def _asked_at(self, target: RemoteModel) -> dict[str, Any]:
        """Return the arguments that all remote models take."""
        return {
            "model": target.model,
            "base_url": target.base_url,
            "api_key": target.api_key,
            "name": target.name,
            "guarded": self.is_guarded(target),
        }

    def _build_embedder(self, target: ModelSpec | RemoteModel) -> Embedder:
        if isinstance(target, ModelSpec):
            return self._build_builtin_embedder(target)
        from ragflow.engine.embedding.openai import LONGEST_TEXT, OpenAIEmbedder

        return OpenAIEmbedder(
            **self._asked_at(target),
            **self._tries,
            max_tokens=min(target.context_tokens, LONGEST_TEXT),
            account=target.account,
        )

    def _build_builtin_embedder(self, spec: ModelSpec) -> Embedder:
        from ragflow.engine.embedding.hashing import HashingEmbedder
        from ragflow.engine.embedding.minilm import MiniLMEmbedder

        known = {name.partition("@")[0].lower(): name for name in (MINILM, HASHING)}
        if known.get(spec.model.lower(), self.builtin_embedding_name) == HASHING:
            return HashingEmbedder(name=str(spec))
        if self.model_folder is None:
            raise ModelNotFound(
                f"The files of the embedding model {spec} are not on this machine: run `manage.py fetch_model`, "
                "or set EMBEDDING_MODEL_DIR to the folder that holds them."
            )
        return MiniLMEmbedder(self.model_folder, threads=self.settings.threads, name=str(spec))

    def _build_chat_model(self, target: ModelSpec | RemoteModel) -> ChatModel:
        if isinstance(target, ModelSpec):
            return self._build_extractive_model(target)
        from ragflow.engine.llm.openai import OpenAIChatModel

        extra_body = json.loads(target.extra_body) if target.extra_body else None
        return OpenAIChatModel(
            **self._asked_at(target),
            **self._tries,
            context_tokens=target.context_tokens,
            extra_body=extra_body,
            account=target.account,
        )

    def _build_extractive_model(self, spec: ModelSpec) -> ChatModel:
        if spec.model.lower() != EXTRACTIVE.partition("@")[0]:
            raise ModelNotFound(f"There is no built-in chat model {spec}; the only one is {EXTRACTIVE}.")
        from ragflow.engine.llm.extractive import ExtractiveModel

        return ExtractiveModel(context_tokens=self.settings.context_tokens)

    def _build_reranker(self, target: ModelSpec | RemoteModel) -> Reranker:
        remote = _remote(target, "rerank")
        from ragflow.engine.rerank.http import HttpReranker

        return HttpReranker(**self._asked_at(remote), **self._tries, style=remote.rerank_style, account=remote.account)

    def _build_speech_to_text(self, target: ModelSpec | RemoteModel) -> SpeechToText:
        remote = _remote(target, "speech-to-text")
        from ragflow.engine.speech.openai import OpenAISpeechToText

        return OpenAISpeechToText(**self._asked_at(remote))

    def _build_text_to_speech(self, target: ModelSpec | RemoteModel) -> TextToSpeech:
        remote = _remote(target, "text-to-speech")
        from ragflow.engine.speech.openai import OpenAITextToSpeech

        return OpenAITextToSpeech(**self._asked_at(remote), voice=self.settings.voice)

    def _endpoint_of(self, spec: ModelSpec) -> Endpoint:
        """Return where a remote model is asked: a base URL serves every provider name, a key alone means OpenAI."""
        if not spec.model:
            raise ModelNotFound("A model name is empty; write it as model@provider.")
        if self.settings.base_url:
            return Endpoint(self.settings.base_url, self.settings.api_key)
        if self.settings.api_key and spec.provider.lower() in ("", OPENAI.lower()):
            return Endpoint(OPENAI_URL, self.settings.api_key)
        needs = "OPENAI_BASE_URL (and OPENAI_API_KEY if it asks for one)" if self.settings.api_key else "OPENAI_API_KEY"
        raise ModelNotFound(f"The model {spec} is not configured: set {needs} for its provider.")

    # -- defaults --------------------------------------------------------------------------------------------------

    @property
    def has_provider(self) -> bool:
        """Whether an OpenAI-compatible provider is configured."""
        return bool(self.settings.base_url or self.settings.api_key)

    @cached_property
    def model_folder(self) -> Path | None:
        """The folder of the local embedding model, or None when its files are not on this machine."""
        from ragflow.engine.embedding.minilm import find_model_folder

        explicit, cache = self.settings.model_folder, self.settings.cache_folder
        return find_model_folder(Path(explicit) if explicit else None, Path(cache) if cache else None)

    @property
    def builtin_embedding_name(self) -> str:
        """What a name at the provider Builtin stands for when it is neither of the two built-in models."""
        return MINILM if self.model_folder else HASHING

    @property
    def default_embedding_name(self) -> str:
        return self._configured(self.settings.embedding_model) or self.builtin_embedding_name

    @property
    def default_chat_name(self) -> str:
        return self._configured(self.settings.chat_model or self._implied_chat_model()) or EXTRACTIVE

    @property
    def default_rerank_name(self) -> str:
        """The configured rerank model; empty when there is none."""
        return self._configured(self.settings.rerank_model)

    @property
    def default_speech_to_text_name(self) -> str:
        """The configured speech to text model; empty when there is none."""
        return self._configured(self.settings.speech_to_text_model)

    @property
    def default_text_to_speech_name(self) -> str:
        """The configured text to speech model; empty when there is none."""
        return self._configured(self.settings.text_to_speech_model)

    def _implied_chat_model(self) -> str:
        return OPENAI_CHAT_MODEL if self.settings.api_key and not self.settings.base_url else ""

    def _configured(self, name: str) -> str:
        """Return the full name of a model from the settings if it can be used, else empty text."""
        spec = ModelSpec.parse(name)
        if not spec.model:
            return ""
        if spec.is_builtin:
            return f"{spec.model}@{BUILTIN}"
        if not self.has_provider:
            return ""
        return str(spec) if spec.provider else f"{spec.model}@{OPENAI}"

    # -- for people ------------------------------------------------------------------------------------------------

    def describe(self) -> list[ModelStatus]:
        """Return one line per model that is offered or was asked for, with the reason in words. Asks no provider."""
        return [*self._describe_embedders(), *self._describe_chat_models(), *self._describe_others()]

    def _describe_embedders(self) -> list[ModelStatus]:
        default, folder = self.default_embedding_name, self.model_folder
        found = "Its files are not on this machine; `manage.py fetch_model` gets them."
        if folder:
            found = f"Its files are in {folder}."
        statuses = [
            ModelStatus("embedding", MINILM, folder is not None, default == MINILM, found),
            ModelStatus("embedding", HASHING, True, default == HASHING, "Needs no files; finds words, not meaning."),
        ]
        return statuses + self._describe_configured("embedding", self.settings.embedding_model, default)

    def _describe_chat_models(self) -> list[ModelStatus]:
        default = self.default_chat_name
        reason = "Needs no provider; quotes the best sentences of what was found."
        if default == EXTRACTIVE and not self.settings.chat_model:
            reason += " For a language model set OPENAI_API_KEY or OPENAI_BASE_URL, and RAGFLOW_CHAT_MODEL."
        builtin = ModelStatus("chat", EXTRACTIVE, True, default == EXTRACTIVE, reason)
        named = self.settings.chat_model or self._implied_chat_model()
        return [builtin, *self._describe_configured("chat", named, default)]

    def _describe_others(self) -> list[ModelStatus]:
        """Describe the kinds of which none is built in."""
        chosen = self.settings
        return [
            *self._describe_configured("rerank", chosen.rerank_model, self.default_rerank_name),
            *self._describe_configured("speech_to_text", chosen.speech_to_text_model, self.default_speech_to_text_name),
            *self._describe_configured("text_to_speech", chosen.text_to_speech_model, self.default_text_to_speech_name),
        ]

    def _describe_configured(self, kind: Kind, named: str, default: str) -> list[ModelStatus]:
        """Describe a model that the settings name, unless it is a built-in one, which has its line already."""
        spec = ModelSpec.parse(named)
        if not spec.model or spec.is_builtin:
            return []
        if not self.has_provider:
            reason = "Neither OPENAI_API_KEY nor OPENAI_BASE_URL is set."
            return [ModelStatus(kind, str(spec), available=False, default=False, reason=reason)]
        full_name = self._configured(named)
        try:
            host = self._endpoint_of(ModelSpec.parse(full_name)).host
        except ModelError as error:
            return [ModelStatus(kind, full_name, available=False, default=full_name == default, reason=str(error))]
        return [ModelStatus(kind, full_name, available=True, default=full_name == default, reason=f"Asked at {host}.")]


def _remote(target: ModelSpec | RemoteModel, what: str) -> RemoteModel:
    if isinstance(target, ModelSpec):
        raise ModelNotFound(f"There is no built-in {what} model {target}; name one of an OpenAI-compatible provider.")
    return target
