"""Embedding texts for clients of OpenAI, with the models that a tenant may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.accounts import language_models
from apps.accounts.selectors import tenant_of
from apps.chats.errors import UnknownModel
from apps.core.errors import InvalidArgument
from apps.core.principal import Principal
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.registry import ModelSpec
from ragflow.engine.tokens import count_tokens, decode_tokens
from ragflow.engine.types import Matrix

MOST_TEXTS = 2048
MOST_TOKENS = 300_000  # of one request, all texts together
LONGEST_TEXT = 8191  # tokens; a provider would refuse more, and to cut it would be to embed another text


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    embedder: Embedder
    texts: tuple[str, ...]
    dimensions: int | None  # that the vectors must have; None: as many as the model gives
    as_base64: bool


@dataclass(frozen=True, slots=True)
class Embedded:
    vectors: Matrix
    tokens: int


def open_embedding(principal: Principal, body: Mapping[str, Any]) -> EmbeddingRequest:
    """Read and check a request. Raises UnknownModel, ModelNotFound and InvalidArgument."""
    dimensions = body.get("dimensions")
    if dimensions is not None and (not isinstance(dimensions, int) or isinstance(dimensions, bool)):
        raise InvalidArgument(f"`dimensions` must be a whole number, not {dimensions!r}.")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise InvalidArgument(f"`encoding_format` must be float or base64, not {encoding!r}.")
    return EmbeddingRequest(
        _embedder(principal, body["model"]), _texts(body["input"]), dimensions, encoding == "base64"
    )


def _embedder(principal: Principal, model: Any) -> Embedder:
    """Return the tenant's default model by its name, with or without the provider, or another that it may use."""
    tenant = tenant_of(principal)
    default = language_models.default_embedding_name(tenant)
    unknown = UnknownModel(model, f"The embedding model of this tenant is '{default}'.")
    if not isinstance(model, str) or not model:
        raise unknown
    name = default if model == ModelSpec.parse(default).model else model
    try:
        language_models.require_embedding_model(name, tenant)
    except InvalidArgument:
        raise unknown from None
    return language_models.embedder_for(name, tenant.pk)


def _texts(given: Any) -> tuple[str, ...]:
    """Read a text, texts, the token ids (cl100k_base) of a text, or those of texts. Raises InvalidArgument."""
    if isinstance(given, str) or (isinstance(given, list) and given and _is_token(given[0])):
        given = [given]
    if not isinstance(given, list) or not given or len(given) > MOST_TEXTS:
        raise InvalidArgument(f"`input` must be a text, or a list of 1 to {MOST_TEXTS} texts.")
    return tuple(_text(number, item) for number, item in enumerate(given))


def _text(number: int, item: Any) -> str:
    text = item
    if isinstance(item, list) and all(_is_token(token) for token in item):
        try:
            text = decode_tokens(item)
        except ValueError as error:
            raise InvalidArgument(f"`input[{number}]` is not made of cl100k_base tokens: {error}.") from None
    if not isinstance(text, str):
        raise InvalidArgument(f"`input[{number}]` must be text or a list of token ids.")
    if not text.strip():
        raise InvalidArgument(f"`input[{number}]` must not be empty.")
    return text


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def embedded(request: EmbeddingRequest) -> Embedded:
    """Embed the texts. Blocking. Raises ModelError and InvalidArgument."""
    sizes = [count_tokens(text) for text in request.texts]
    for number, size in enumerate(sizes):
        if size > LONGEST_TEXT:
            raise InvalidArgument(f"`input[{number}]` has {size} tokens; a text may have {LONGEST_TEXT}.")
    tokens = sum(sizes)
    if tokens > MOST_TOKENS:
        raise InvalidArgument(f"`input` has {tokens} tokens; one request may have {MOST_TOKENS}.")
    _check_dimensions(request, request.embedder.dimension)
    vectors = request.embedder.embed(request.texts)
    _check_dimensions(request, vectors.shape[1])
    return Embedded(vectors, tokens)


def _check_dimensions(request: EmbeddingRequest, dimension: int | None) -> None:
    if request.dimensions is None or dimension is None or dimension == request.dimensions:
        return
    raise InvalidArgument(
        f"`dimensions` must be {dimension} or left out: {request.embedder.name} gives vectors of that length only."
    )
