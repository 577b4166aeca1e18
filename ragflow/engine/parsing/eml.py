"""E-mail: headers, text parts, HTML parts, and the attachments that a reader exists for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

from ragflow.engine.errors import LimitExceeded, ParseError
from ragflow.engine.parsing import html
from ragflow.engine.parsing.signatures import refuse_binary
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import decode
from ragflow.engine.types import Block, BlockKind, Notice

FORWARDED = "message/rfc822"
LONGEST_HEADER = 100_000  # characters; the library takes time by the square of the encoded words or parameters in one


def read(source: Source) -> Iterator[Block | Notice]:
    yield from _message(source, with_attachments=True)


def _message(source: Source, *, with_attachments: bool) -> Iterator[Block | Notice]:
    refuse_binary(source)
    message = message_from_bytes(source.read_bytes(source.limits.max_bytes, "an e-mail"))
    parts = list(_parts(source, message))
    yield Block("\n".join(f"{name}: {_header(value)}" for name, value in message.raw_items()), BlockKind.PLAIN)
    bodies = [part for part in parts if not _is_attachment(part)]
    plain = [_text(part) for part in bodies if part.get_content_type() != "text/html"]
    yield from (Block(text, BlockKind.PLAIN) for text in plain)
    for part in bodies:
        if part.get_content_type() == "text/html":
            yield from _new_blocks(source, _text(part), plain)
    if with_attachments:
        for part in parts:
            if _is_attachment(part):
                yield from _attachment(source, part)


def _parts(source: Source, message: Message) -> Iterator[Message]:
    """Yield the leaves of the message; a forwarded message is one leaf. Raises LimitExceeded for an endless header."""
    stack = [message]
    while stack:
        part = stack.pop()
        if any(len(value) > LONGEST_HEADER for _, value in part.raw_items()):
            raise LimitExceeded(f"{source.name} has a header of more than {LONGEST_HEADER} characters.")
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            stack.extend(reversed([child for child in part.get_payload() if isinstance(child, Message)]))
        else:
            yield part


def _is_attachment(part: Message) -> bool:
    return (
        part.get_content_disposition() == "attachment"
        or part.get_content_type() == FORWARDED
        or part.get_content_maintype() not in ("text", "multipart")
    )


def _new_blocks(source: Source, markup: str, plain: list[str]) -> Iterator[Block]:
    """Yield the HTML part without what the plain part has said already: mail programs send both."""
    html.check_markup_size(markup, source)
    known = " ".join(" ".join(plain).split())
    for block in html.blocks_of(markup):
        source.check_time()  # what is known already is looked for in the whole text, and nothing leaves meanwhile
        if " ".join(block.text.split()) not in known:
            yield block


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    charset = ""
    with suppress(MessageError, UnicodeError, LookupError):  # the name of the charset is itself damaged
        charset = part.get_content_charset() or ""
    return decode(payload, charset) if isinstance(payload, bytes) else ""


def _header(value: str) -> str:
    """Return a header with its encoded words decoded, on one line. Raw bytes in it have come as surrogates."""
    text = decode(value.encode("utf-8", "surrogateescape"))
    with suppress(MessageError, LookupError, ValueError):  # else it is shown as it was sent
        text = str(make_header(decode_header(text)))
    return " ".join(text.split())


def _attachment(source: Source, part: Message) -> Iterator[Block | Notice]:
    from ragflow.engine.parsing.reader import read as read_any  # the reader's table of formats names this module

    name = _header(part.get_filename() or "")
    forwarded = part.get_content_type() == FORWARDED
    if not name and not forwarded:
        return  # inline pictures and signatures
    with tempfile.NamedTemporaryFile() as file:
        file.write(_content(part))
        file.flush()
        attached = source.at(Path(file.name), name or "forwarded message.eml")
        try:
            if forwarded or attached.extension == "eml":
                yield from _message(attached, with_attachments=False)
            else:
                yield from (item for item in read_any(attached) if isinstance(item, Block) or item.message)
        except ParseError as error:
            yield Notice(f"The attachment {attached.name} was left out: {error}")


def _content(part: Message) -> bytes:
    if part.get_content_type() == FORWARDED and part.is_multipart():
        inner = part.get_payload(0)
        return inner.as_bytes() if isinstance(inner, Message) else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
