"""XML of any vocabulary: the text of each element, led by the element's name. XHTML is read as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ragflow.engine.errors import MalformedFile
from ragflow.engine.parsing import html
from ragflow.engine.parsing.signatures import refuse_binary
from ragflow.engine.parsing.source import Source
from ragflow.engine.types import Block, Notice

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def read(source: Source) -> Iterator[Block | Notice]:
    refuse_binary(source)
    root = parse_tree(source, source.read_bytes(source.limits.max_tree_bytes, "an XML file"))
    if _name(root.tag) == "html":
        yield from html.read(source)
    else:
        yield from _blocks(root)


def parse_tree(source: Source, data: bytes, *, part: str = "") -> Element:
    """Return the root element; raise MalformedFile naming `part` (a member of an archive) or the file.

    Entity declarations are refused: they can expand without end or reach for other files.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    where = f"{part} in {source.name}" if part else source.name
    try:
        root: Element = fromstring(data)
    except ParseError as error:
        raise MalformedFile(f"{where} is not valid XML: {error}.") from error
    except DefusedXmlException as error:
        raise MalformedFile(f"{where} declares XML entities; these are not allowed.") from error
    except (LookupError, ValueError) as error:  # an encoding that does not exist or does not fit
        raise MalformedFile(f"{where} is not valid XML: its encoding cannot be read.") from error
    return root


def _blocks(root: Element) -> Iterator[Block]:
    stack = [root]
    while stack:
        element = stack.pop()
        if not isinstance(element.tag, str):  # a comment or processing instruction
            continue
        attributes = ", ".join(f"{_name(name)}={value}" for name, value in element.attrib.items())
        label = f"{_name(element.tag)} ({attributes})" if attributes else _name(element.tag)
        text = " ".join("".join(element.itertext()).split()) if _has_own_text(element) else ""
        if text:
            yield Block(f"{label}: {text}")
        else:
            if attributes:
                yield Block(label)
            stack.extend(reversed(element))


def _has_own_text(element: Element) -> bool:
    """Tell whether text stands directly in the element, so that its children are parts of a sentence."""
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]
