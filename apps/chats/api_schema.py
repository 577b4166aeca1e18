"""How the OpenAPI document describes chats and searches: what to send, in short."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter

from apps.core.schema import ENVELOPE

Schema = dict[str, Any]

SHARED: list[Schema] = [{"ShareToken": []}]
"""The security of what takes a share token."""

_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_IDS: Schema = {"type": "array", "items": _TEXT}


def _body(properties: Schema, *, required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {"application/json": schema | ({"required": list(required)} if required else {})}


def _query(**types: type) -> list[OpenApiParameter]:
    paging: dict[str, type] = {"page": int, "page_size": int, "orderby": str, "desc": bool}
    return [OpenApiParameter(name, type_) for name, type_ in {**types, **paging}.items()]


CHAT = _body(
    {
        "name": _TEXT,
        "avatar": _TEXT,
        "description": _TEXT,
        "dataset_ids": _IDS,
        "llm": {
            "type": "object",
            "description": "`model_name` and generation options",
            "example": {"model_name": "gpt-4o-mini@OpenAI", "temperature": 0.1},
        },
        "prompt": {
            "type": "object",
            "description": "System text, variables and how to search",
            "example": {"prompt": "Answer from this: {knowledge}", "top_n": 6, "similarity_threshold": 0.2},
        },
    }
)
CHAT_FILTERS = _query(id=str, name=str)
SESSION = _body({"name": _TEXT, "user_id": _TEXT})
SESSION_FILTERS = _query(id=str, name=str, user_id=str)
IDS = _body({"ids": {**_IDS, "nullable": True, "description": "Empty or null: all."}})
_SEARCH_CONFIG: Schema = {
    "type": "object",
    "description": "What to search and how; `chat_id` names a chat model",
    "example": {"kb_ids": ["<dataset id>"], "similarity_threshold": 0.2, "top_k": 1024},
}
NEW_SEARCH_APP = _body({"name": _TEXT, "description": _TEXT, "search_config": _SEARCH_CONFIG}, required=("name",))
SEARCH_APP = _body(
    {"search_id": _TEXT, "name": _TEXT, "tenant_id": _TEXT, "description": _TEXT, "search_config": _SEARCH_CONFIG},
    required=("search_id", "name", "search_config", "tenant_id"),
)
SEARCH_APP_ID = _body({"search_id": _TEXT}, required=("search_id",))
SEARCH_ID = [OpenApiParameter("search_id", str, required=True)]
OWNERS = _body({"owner_ids": _IDS})
SEARCH_APP_FILTERS = _query(keywords=str)
_STREAM = {"description": "A JSON answer, or server-sent events when `stream` is true (the default)."}


def _streaming(body: Schema, answer: Schema) -> Schema:
    content = {"application/json": {"schema": answer}, "text/event-stream": {"schema": _TEXT}}
    return {
        "requestBody": {"content": {kind: {"schema": schema} for kind, schema in body.items()}, "required": True},
        "responses": {200: {**_STREAM, "content": content}},
    }


COMPLETION = _streaming(
    _body(
        {
            "question": _TEXT,
            "session_id": {**_TEXT, "description": "Empty: a session is created and its opener answered."},
            "stream": {"type": "boolean", "default": True},
            "quote": {"type": "boolean", "default": True},
            "doc_ids": {**_TEXT, "description": "Search only these documents, separated by commas."},
            "user_id": _TEXT,
            "name": _TEXT,
        }
    ),
    ENVELOPE,
)
PAGE_COMPLETION = {**COMPLETION, "security": SHARED}
_TOKEN: Schema = {"security": [{"APIToken": []}]}
_MESSAGES: Schema = {"type": "array", "items": _OBJECT, "example": [{"role": "user", "content": "Who wrote it?"}]}


def _openai_completion(model: str, *, streams: bool) -> Schema:
    body = _body(
        {
            "model": {**_TEXT, "description": model},
            "messages": _MESSAGES,
            "stream": {"type": "boolean", "default": streams},
            "extra_body": {"type": "object", "example": {"reference": True}},
        },
        required=("model", "messages"),
    )
    return _streaming(body, {"type": "object", "description": "An OpenAI chat completion"}) | _TOKEN


OPENAI_COMPLETION = _openai_completion("Echoed", streams=True)
OPENAI_MODEL_COMPLETION = _openai_completion("Name or id of an assistant", streams=False)
OPENAI_MODELS = _TOKEN


def _answered(body: Schema, answer: Schema, **more: Any) -> Schema:
    return {
        "requestBody": {"content": {kind: {"schema": schema} for kind, schema in body.items()}, "required": True},
        "responses": {200: {"description": "OK", "content": {"application/json": {"schema": answer}}}},
        **more,
    }


_PAGE_QUESTION: Schema = {"question": _TEXT, "kb_ids": _IDS, "search_id": _TEXT}
_PAGE_BODY = _body(_PAGE_QUESTION, required=("question", "kb_ids"))
OPENAI_EMBEDDINGS = _answered(
    _body(
        {
            "model": _TEXT,
            "input": {"description": "A text, texts, or token ids of cl100k_base", "example": ["Hello"]},
            "encoding_format": {"type": "string", "enum": ["float", "base64"]},
            "dimensions": {"type": "integer", "description": "Only the model's own"},
        },
        required=("model", "input"),
    ),
    {"type": "object", "description": "An OpenAI list of embeddings"},
    **_TOKEN,
)
ASK = _streaming(
    _body({"question": _TEXT, "dataset_ids": _IDS}, required=("question", "dataset_ids")), {"type": "object"}
)
RELATED = _answered(_body({"question": _TEXT, "industry": _TEXT}, required=("question",)), ENVELOPE)
PAGE_ASK = {**_streaming(_PAGE_BODY, {"type": "object"}), "security": SHARED}
PAGE_ASK_WHOLE = _answered(_PAGE_BODY, ENVELOPE, security=SHARED)
PAGE_RELATED = _answered(
    _body({"question": _TEXT, "search_id": _TEXT}, required=("question",)), ENVELOPE, security=SHARED
)
_TRIAL: Schema = {
    "kb_id": _IDS,
    "question": _TEXT,
    "page": {"type": "integer", "default": 1},
    "size": {"type": "integer", "default": 30},
    "similarity_threshold": {"type": "number", "default": 0.0},
    "vector_similarity_weight": {"type": "number", "default": 0.3},
    "top_k": {"type": "integer", "default": 1024},
    "search_id": _TEXT,
}
TRIAL = _answered(_body(_TRIAL, required=("kb_id", "question")), ENVELOPE)
PAGE_TRIAL = _answered(
    _body({**_TRIAL, "highlight": {"type": "boolean"}}, required=("kb_id", "question")), ENVELOPE, security=SHARED
)
_AUDIO: Schema = {"type": "string", "format": "binary"}
SPEAK = {
    "requestBody": _answered(_body({"text": _TEXT}, required=("text",)), {})["requestBody"],
    "responses": {200: {"description": "MP3, as it is made", "content": {"audio/mpeg": {"schema": _AUDIO}}}},
}
_FORM: Schema = {"type": "object", "properties": {"file": _AUDIO, "stream": _TEXT}, "required": ["file"]}
TRANSCRIBE = {
    "requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}, "required": True},
    "responses": {
        200: {**_STREAM, "content": {"application/json": {"schema": ENVELOPE}, "text/event-stream": {"schema": _TEXT}}}
    },
}

_DIALOG: Schema = {
    "name": _TEXT,
    "description": _TEXT,
    "icon": _TEXT,
    "kb_ids": _IDS,
    "llm_id": _TEXT,
    "llm_setting": _OBJECT,
    "prompt_config": {**_OBJECT, "example": {"system": "Answer from this: {knowledge}", "parameters": []}},
}
DIALOG = _body({"dialog_id": _TEXT, **_DIALOG}, required=("prompt_config",))
DIALOG_IDS = _body({"dialog_ids": _IDS}, required=("dialog_ids",))
DIALOG_ID = [OpenApiParameter("dialog_id", str, required=True)]
DIALOG_FILTERS = _query(keywords=str)
