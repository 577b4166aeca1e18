"""Metadata conditions against a plain evaluation of the contract's words: every operator, both views of a value."""

from __future__ import annotations

import ast
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.datasets.models import KnowledgeBase
from apps.documents.metadata import filtering
from apps.documents.metadata.condition import read_condition
from apps.documents.metadata.filtering import Values, matches, matching_documents
from apps.documents.models import Document
from apps.documents.selectors import documents_of
from apps.documents.services.metadata import set_metadata

ORDERINGS = {
    "=": lambda m, v: m == v,
    "≠": lambda m, v: m != v,
    ">": lambda m, v: m > v,
    "<": lambda m, v: m < v,
    "≥": lambda m, v: m >= v,
    "≤": lambda m, v: m <= v,
}
OPERATORS = [
    "is", "not is", *ORDERINGS, "contains", "not contains", "in", "not in", "start with", "end with", "empty",
    "not empty",
]  # fmt: skip


def lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def holds(m: Any, name: str, v: Any) -> bool:
    """The contract, operator by operator."""
    name = {"is": "=", "not is": "≠"}.get(name, name)
    if name in ORDERINGS:
        try:
            m = ast.literal_eval(m)
            v = ast.literal_eval(v)
        except Exception:  # noqa: BLE001 - the contract: whatever goes wrong
            pass
    m, v = lowered(m), lowered(v)
    try:
        match name:
            case "contains" | "in":
                return m in v
            case "not contains" | "not in":
                return m not in v
            case "start with":
                return str(m).lower().startswith(str(v).lower())
            case "end with":
                return str(m).lower().endswith(str(v).lower())
            case "empty":
                return not m
            case "not empty":
                return bool(m)
            case _:
                return bool(ORDERINGS[name](m, v))
    except Exception:  # noqa: BLE001
        return False


def seen(fields: dict[str, Any], key: str, values: Values) -> list[Any]:
    if key not in fields:
        return []
    found = fields[key] if isinstance(fields[key], list) else [fields[key]]
    return found if values is Values.TYPED else [str(value) for value in found if value is not None]


def expected(documents: list[dict[str, Any]], sent: dict[str, Any], values: Values) -> set[int]:
    sets = [
        {
            number
            for number, fields in enumerate(documents)
            if any(holds(m, item["comparison_operator"], item["value"]) for m in seen(fields, item["name"], values))
        }
        for item in sent["conditions"]
    ]
    if not sets:
        return set()
    return set.intersection(*sets) if sent["logic"] == "and" else set.union(*sets)


@pytest.fixture
def dataset(api):
    return KnowledgeBase.objects.get(pk=api.create_dataset()["id"])


def fill(dataset: KnowledgeBase, metadata: list[dict[str, Any]]) -> list[str]:
    Document.objects.filter(dataset=dataset).delete()
    documents = [Document(dataset=dataset, name=f"{number}.txt") for number in range(len(metadata))]
    Document.objects.bulk_create(documents)
    for document, fields in zip(documents, metadata, strict=True):
        set_metadata(document=document, fields=fields)
    return [document.pk for document in documents]


def found(dataset: KnowledgeBase, ids: list[str], sent: dict[str, Any], values: Values) -> set[int]:
    condition = read_condition(sent)
    if values is Values.FLAT:
        matching = matches([dataset.pk], [condition])
        rows = set(matching.among(documents_of(dataset)).values_list("pk", flat=True))
        assert matching.count == len(rows)
    else:
        rows = set(matching_documents([dataset.pk], condition).document_ids)
    return {number for number, id_ in enumerate(ids) if id_ in rows}


TEXTS = [
    "", "alice", "Alice", "ALICE and Bob", "5", "5.0", "-1.5", "1e3", "007", "True", "true", "None", "2024-10-12",
    "'a'", "a", "[1, 2]", "1,2", "(5)", "é", "É", "ß", "%_\\", "0", "False", "5j", "5+0j", "{}", "1_000", "b'x'", "...",
    "İ", "ΑΣ", "ας", "\u212a", "\U0001f600", "\uffff", " 5", "+5", "1e999", "-0.0", "9007199254740993", "_", "A", "B",
    "x" * 255, "x" * 256, "X" * 300, "İ" * 200, "5" * 300, "1." + "0" * 300, "9" * 1001,
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(
        [*TEXTS, 0, 1, 5, 5.0, -1.5, 1000, True, False, None, -0.0, 1e300, 2**53, 2**53 + 1, 2**63, 2**1000]
    ),
    st.text(max_size=4),
    st.integers(-3, 12),
    st.floats(allow_nan=False, allow_infinity=False),
).filter(lambda value: not (isinstance(value, str) and "\0" in value))
METADATA = st.lists(
    st.dictionaries(st.sampled_from(["k", "n", "ü"]), st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=3),
    min_size=1,
    max_size=5,
)
CONDITIONS = st.fixed_dictionaries(
    {
        "logic": st.sampled_from(["and", "or"]),
        "conditions": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["k", "n", "ü", "nobody's"]),
                    "comparison_operator": st.sampled_from(OPERATORS),
                    "value": st.one_of(SCALARS, st.lists(SCALARS, max_size=3)),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    }
)


@pytest.mark.parametrize("few", [filtering.FEW, 0])
@pytest.mark.parametrize("values", Values)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=METADATA, sent=CONDITIONS)
@example(
    metadata=[{"k": "5"}, {"k": 5}, {"k": ["a", 5]}],
    sent={"logic": "and", "conditions": [{"name": "k", "comparison_operator": "is", "value": "5"}]},
)
def test_what_is_found_is_what_the_contract_says(dataset, values, few, metadata, sent):
    with mock.patch.object(filtering, "FEW", few):
        assert found(dataset, fill(dataset, metadata), sent, values) == expected(metadata, sent, values)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("value", ["bob", "5", 5, ["bob", 5], "2024-01-01"])
def test_ordinary_values_are_compared_by_the_database_alone(dataset, monkeypatch, name, value):
    ids = fill(dataset, [{"k": "alice"}, {"k": "Bob"}, {"k": ["2024-10-12", "5"]}, {"k": 7}, {"k": 1.5}, {"k": True}])
    monkeypatch.setattr(filtering, "Comparer", None)
    for values in Values:
        found(dataset, ids, {"logic": "and", "conditions": [having(name, value)]}, values)


def having(name: str, value: Any) -> dict[str, Any]:
    return {"name": "k", "comparison_operator": name, "value": value}
