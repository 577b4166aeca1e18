"""What a client asks: the bodies of the two completion endpoints, reduced to what a turn needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.core.errors import BadValue, DataError, InvalidArgument
from apps.documents.metadata.condition import Condition, read_condition
from ragflow.engine.types import Message

# Tuples: what a client sends as a role may be a list or an object, which no set can look up.
_DROPPED_ROLES = ("system", "developer", "tool", "function")
_SPEAKERS = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and how to answer it."""

    question: str
    streams: bool
    quote: bool
    history: Sequence[Message] = ()
    document_ids: tuple[str, ...] | None = None  # None: no restriction
    dataset_ids: tuple[str, ...] = ()  # beside the assistant's own
    values: Mapping[str, Any] = field(default_factory=dict)  # of prompt variables, among others
    research: bool = False  # search again for what is missing


def streams(body: Mapping[str, Any]) -> bool:
    """Both endpoints stream unless told otherwise."""
    return bool(body.get("stream", True))


def metadata_condition(sent: Any, *, applies: bool = True) -> Condition | None:
    """Read the metadata condition of a question. Raises DataError for what is no object, BadValue for mistakes in it.

    Where nothing is asked it does not apply, and only its form is looked at.
    """
    if sent and not isinstance(sent, dict):
        raise DataError("metadata_condition must be an object.")
    return read_condition(sent) if applies else None


def read_completion(body: Mapping[str, Any], history: Sequence[Message]) -> Asked:
    """Read the body of a completion within a session. Raises BadValue."""
    check_question(body)
    return Asked(
        question=question_of(body),
        streams=streams(body),
        quote=bool(body.get("quote", True)),
        history=without_opener(history),
        document_ids=_document_ids(body.get("doc_ids")),
        dataset_ids=further_datasets(body),
        values=body,
        research=bool(body.get("reasoning")),
    )


def check_question(body: Mapping[str, Any]) -> None:
    """Raise BadValue unless there is a question, which may be empty."""
    if "question" not in body:
        raise BadValue(
            "`question` is required.",
            reference="""TypeError("async_completion() missing 1 required positional argument: 'question'")""",
        )


def question_of(body: Mapping[str, Any]) -> str:
    """Return the question, empty if there is none. Raises BadValue for one that is no text."""
    question = body.get("question")
    if question is not None and not isinstance(question, str):
        raise BadValue(f"`question` must be text, not {question!r}.")
    return question or ""


def further_datasets(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the datasets to search beside the assistant's own. Raises BadValue."""
    return _texts("kb_ids", body.get("kb_ids"))


def read_openai(body: Mapping[str, Any]) -> Asked:
    """Read the body of an OpenAI completion. Raises DataError, InvalidArgument and BadValue."""
    messages = openai_messages(body["messages"])
    last = body["messages"][-1]
    return Asked(
        question=messages[-1].content,
        streams=streams(body),
        quote=wants_reference(body),
        history=without_opener(messages[:-1]),
        document_ids=_document_ids(last.get("doc_ids")),
    )


def openai_extra(body: Mapping[str, Any], key: str) -> Any:
    """Return an extension of OpenAI's form, from a literal `extra_body` or from where their client puts it: beside it.

    Raises DataError.
    """
    extra = body.get("extra_body") or {}
    if not isinstance(extra, dict):
        raise DataError("extra_body must be an object.")
    return extra.get(key, body.get(key))


def wants_reference(body: Mapping[str, Any]) -> bool:
    return bool(openai_extra(body, "reference"))


def check_openai_messages(messages: Any) -> None:
    """Raise DataError unless there are messages and the user has the last word."""
    if not isinstance(messages, list):
        raise BadValue(
            f"`messages` must be a list, not {messages!r}.",
            reference=f"TypeError(\"object of type '{type(messages).__name__}' has no len()\")",
        )
    if not messages:
        raise DataError("You have to provide messages.")
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise BadValue("Each message must be an object with `role` and `content`.", reference="KeyError('role')")
    if messages[-1]["role"] != "user":
        raise DataError("The last content of this conversation is not from user.")


def openai_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return what user and assistant said. System messages do not count: the assistant has its own.

    Raises InvalidArgument for an unknown role or content that is no text.
    """
    said = []
    for number, message in enumerate(messages):
        role = message["role"]
        if role in _DROPPED_ROLES:
            continue
        if role not in _SPEAKERS:
            raise InvalidArgument(f"`messages[{number}].role` must be user, assistant or system, not {role!r}.")
        if role == "user" or message.get("content"):  # an assistant's call of a tool has no content
            said.append(Message(role, _text_of(number, message)))
    return said


def _text_of(number: int, message: Mapping[str, Any]) -> str:
    if "content" not in message:
        raise BadValue(f"`messages[{number}]` has no `content`.", reference="KeyError('content')")
    content = message["content"]
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise InvalidArgument(f"`messages[{number}].content` must be text: this endpoint takes no other content.")
    return "\n".join(part["text"] for part in parts)


def without_opener(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Leave out what the assistant said before the user spoke."""
    first = next((number for number, message in enumerate(messages) if message.role == "user"), len(messages))
    return tuple(messages[first:])


def _document_ids(value: Any) -> tuple[str, ...] | None:
    """Read `doc_ids`, text separated by commas or a list; nothing in it means no restriction."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    return tuple(name for name in _texts("doc_ids", value) if name) or None


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise BadValue(f"`{key}` must be a list of ids, not {value!r}.")
    return tuple(value)
