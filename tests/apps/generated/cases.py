"""From the OpenAPI document to requests, by way of schemathesis.

Its own cases rarely get past the first check of an id. So some values are replaced: ids by those of objects that exist,
and now and then one value by a nasty one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import strategies as st
from requests import Request  # noqa: TID251 -- it encodes what schemathesis hands out, nothing is sent
from schemathesis import GenerationMode

from tests.apps.generated.values import NASTY, TEXTS

Known = Mapping[str, str]


@dataclass(frozen=True)
class Sent:
    """A request as it goes onto the wire."""

    method: str
    path: str
    query: str
    content: bytes
    content_type: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}?{self.query} {self.content_type} {self.content[:400]!r}"


@dataclass(frozen=True)
class Operation:
    """One method of one path; `schemes` are the credentials that it takes."""

    described: Any
    schemes: frozenset[str]

    @property
    def label(self) -> str:
        return str(self.described.label)

    @property
    def path(self) -> str:
        return str(self.described.path)

    def requests(self, known: Known, headers: Mapping[str, str]) -> st.SearchStrategy[Sent]:
        """Return requests that follow the description, and such as do not."""
        valid = self.described.as_strategy(generation_mode=GenerationMode.POSITIVE)
        cases = [valid, valid]
        if self.described.body or self.described.query:
            cases.append(self.described.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        seeds = st.integers(0, 2**32)
        return st.builds(lambda case, seed: _sent(case, known, headers, Random(seed)), st.one_of(cases), seeds)


def operations() -> list[Operation]:
    """Return every operation of the document."""
    document = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))
    schema = schemathesis.openapi.from_dict(document)
    found = []
    for result in schema.get_all_operations():
        described = result.ok()
        security = document["paths"][described.path][described.method].get("security", [])
        found.append(Operation(described, frozenset(name for scheme in security for name in scheme)))
    return found


def _sent(case: Any, known: Known, headers: Mapping[str, str], random: Random) -> Sent:
    path_values = _acquainted(_plain(case.path_parameters), known, random)
    query = _acquainted(_plain(case.query), known, random)
    body = case.body
    if isinstance(body, dict | list) and not case.media_type.startswith("multipart"):
        body = _acquainted(copy.deepcopy(body), known, random)
        if random.random() < 0.4:
            body = _spoiled(body, random)
    if query and random.random() < 0.3:
        query[random.choice(list(query))] = random.choice(TEXTS)
    if path_values and random.random() < 0.1:
        path_values[random.choice(list(path_values))] = random.choice(TEXTS)
    content, content_type = _encoded(case, body)
    path = case.path.format(**{name: quote(_utf8(str(value)), safe="") for name, value in path_values.items()})
    return Sent(case.method.upper(), path, urlencode(_wire(query), doseq=True), content, content_type, dict(headers))


def _encoded(case: Any, body: Any) -> tuple[bytes, str]:
    if isinstance(body, schemathesis.core.NotSet):
        return b"", ""
    if case.media_type == "application/json":
        return (body if isinstance(body, bytes) else json.dumps(body).encode()), "application/json"
    given = case.as_transport_kwargs(base_url="http://localhost")
    prepared = Request("POST", "http://localhost", data=given.get("data"), files=given.get("files")).prepare()
    content = prepared.body or b""
    content_type = prepared.headers.get("Content-Type") or case.media_type
    return content.encode() if isinstance(content, str) else content, content_type


def _plain(container: Any) -> dict[str, Any]:
    return dict(container) if container else {}


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _wire(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _utf8(value) if isinstance(value, str) else value for name, value in query.items()}


def _acquainted(value: Any, known: Known, random: Random, name: str = "") -> Any:
    """Replace most values under the name of an id by the id of something that exists."""
    if isinstance(value, dict):
        return {key: _acquainted(item, known, random, key) for key, item in value.items()}
    if name in known and random.random() < 0.75:
        return [known[name]] if isinstance(value, list) else known[name]
    if isinstance(value, list):
        return [_acquainted(item, known, random, name) for item in value]
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of everything inside."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _spoiled(body: Any, random: Random) -> Any:
    places = list(_places(body))
    if not places:
        return body
    container, key = random.choice(places)
    container[key] = copy.deepcopy(random.choice(NASTY))
    return body
