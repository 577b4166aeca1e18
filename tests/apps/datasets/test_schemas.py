"""The contract's wording of every mistake in a body or query about datasets."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidArgument
from apps.core.validation import validate
from apps.datasets.parser_config import ParserConfig
from apps.datasets.schemas import CreateDataset, DeleteDatasets, ListDatasets, UpdateDataset, normal_uuid1

METHODS = (
    "Input should be 'naive', 'book', 'email', 'laws', 'manual', 'one', 'paper', 'picture', 'presentation', 'qa', "
    "'table' or 'tag'"
)
STRING, INTEGER, NUMBER, BOOLEAN = (
    f"Input should be a valid {kind}" for kind in ("string", "integer", "number", "boolean")
)
AT_LEAST, AT_MOST = "Input should be greater than or equal to {}", "Input should be less than or equal to {}"
IDENTIFIER = "Embedding model identifier must follow <model_name>@<provider> format"
HALVES = "Both model_name and provider must be non-empty strings"
UUID1 = "Invalid UUID1 format"


def line(place: str, message: str, value: Any) -> str:
    return f"Field: <{place}> - Message: <{message}> - Value: <{value}>"


def shown(value: Any) -> str:
    return str(value) if len(str(value)) <= 128 else str(value)[:125] + "..."


def message_of(model: Any, payload: dict[str, Any]) -> str:
    with pytest.raises(InvalidArgument) as caught:
        validate(model, payload)
    return caught.value.message


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", None, STRING),
        ("name", 7, STRING),
        ("name", "", "String should have at least 1 character"),
        ("name", "   ", "String should have at least 1 character"),
        ("name", "n" * 129, "String should have at most 128 characters"),
        ("name", "a\0b", "String should not contain the character NUL"),
        ("avatar", 1, STRING),
        ("avatar", "", "Missing MIME prefix. Expected format: data:<mime>;base64,<data>"),
        ("avatar", "abc", "Missing MIME prefix. Expected format: data:<mime>;base64,<data>"),
        ("avatar", "image/png;base64,xx", "Invalid MIME prefix format. Must start with 'data:'"),
        ("avatar", "data:image/gif;base64,x", "Unsupported MIME type. Allowed: ['image/jpeg', 'image/png']"),
        ("avatar", "data:image/PNG;base64,x", "Unsupported MIME type. Allowed: ['image/jpeg', 'image/png']"),
        ("avatar", "a" * 65536, "String should have at most 65535 characters"),
        ("description", 1, STRING),
        ("description", "d" * 65536, "String should have at most 65535 characters"),
        ("embedding_model", 1, STRING),
        ("embedding_model", "", IDENTIFIER),
        ("embedding_model", "  ", IDENTIFIER),
        ("embedding_model", "model", IDENTIFIER),
        ("embedding_model", "@X", HALVES),
        ("embedding_model", " @X", HALVES),
        ("embedding_model", "x@ ", HALVES),
        ("embedding_model", "m@" + "p" * 254, "String should have at most 255 characters"),
        ("permission", "", "Input should be 'me' or 'team'"),
        ("permission", "ME", "Input should be 'me' or 'team'"),
        ("permission", None, "Input should be 'me' or 'team'"),
        ("permission", [], "Input should be 'me' or 'team'"),
        ("permission", " me ", "Input should be 'me' or 'team'"),
        ("chunk_method", "", METHODS),
        ("chunk_method", None, METHODS),
        ("chunk_method", "Naive", METHODS),
        ("chunk_method", "knowledge_graph", METHODS),
        ("chunk_method", 3, METHODS),
        ("parse_type", "1", INTEGER),
        ("parse_type", 65, AT_MOST.format(64)),
        ("pipeline_id", "", "String should have at least 32 characters"),
        ("pipeline_id", "a" * 33, "String should have at most 32 characters"),
        ("pipeline_id", "g" * 32, "pipeline_id must be hexadecimal"),
        ("pipeline_id", "0x" + "a" * 30, "pipeline_id must be hexadecimal"),
        ("pipeline_id", "  " + "a" * 30, "pipeline_id must be hexadecimal"),
        ("parser_config", 3, "Input should be a valid dictionary or instance of ParserConfig"),
        ("parser_config", [], "Input should be a valid dictionary or instance of ParserConfig"),
        *[
            (forbidden, "x", "Extra inputs are not permitted")
            for forbidden in ("id", "tenant_id", "created_by", "create_date", "chunk_count", "token_num", "status")
        ],
    ],
)
def test_a_single_mistake(field: str, value: Any, message: str):
    assert message_of(CreateDataset, {"name": "n"} | {field: value}) == line(field, message, shown(value))


@pytest.mark.parametrize(
    ("config", "place", "message", "value"),
    [
        ({"auto_keywords": -1}, "auto_keywords", AT_LEAST.format(0), -1),
        ({"auto_keywords": 33}, "auto_keywords", AT_MOST.format(32), 33),
        ({"auto_keywords": 3.14}, "auto_keywords", INTEGER, 3.14),
        ({"auto_keywords": True}, "auto_keywords", INTEGER, True),
        ({"auto_questions": 11}, "auto_questions", AT_MOST.format(10), 11),
        ({"chunk_token_num": 0}, "chunk_token_num", AT_LEAST.format(1), 0),
        ({"chunk_token_num": 2049}, "chunk_token_num", AT_MOST.format(2048), 2049),
        ({"chunk_token_num": "512"}, "chunk_token_num", INTEGER, "512"),
        ({"chunk_token_num": 1.0}, "chunk_token_num", INTEGER, 1.0),
        ({"delimiter": ""}, "delimiter", "String should have at least 1 character", ""),
        ({"html4excel": "true"}, "html4excel", BOOLEAN, "true"),
        ({"html4excel": 1}, "html4excel", BOOLEAN, 1),
        ({"layout_recognize": None}, "layout_recognize", STRING, None),
        ({"tag_kb_ids": "x"}, "tag_kb_ids", "Input should be a valid list", "x"),
        ({"tag_kb_ids": [1]}, "tag_kb_ids.0", STRING, 1),
        ({"topn_tags": 11}, "topn_tags", AT_MOST.format(10), 11),
        ({"filename_embd_weight": 1.1}, "filename_embd_weight", AT_MOST.format(1), 1.1),
        ({"filename_embd_weight": "1"}, "filename_embd_weight", NUMBER, "1"),
        ({"task_page_size": 0}, "task_page_size", AT_LEAST.format(1), 0),
        ({"pages": [["a"]]}, "pages.0.0", INTEGER, "a"),
        ({"graphrag": 1}, "graphrag", "Input should be a valid dictionary or instance of GraphragConfig", 1),
        ({"graphrag": {"method": ""}}, "graphrag.method", "Input should be 'light' or 'general'", ""),
        ({"graphrag": {"entity_types": "x"}}, "graphrag.entity_types", "Input should be a valid list", "x"),
        ({"raptor": []}, "raptor", "Input should be a valid dictionary or instance of RaptorConfig", []),
        ({"raptor": {"prompt": " "}}, "raptor.prompt", "String should have at least 1 character", " "),
        ({"raptor": {"max_token": 2049}}, "raptor.max_token", AT_MOST.format(2048), 2049),
        ({"raptor": {"threshold": -0.1}}, "raptor.threshold", AT_LEAST.format(0), -0.1),
        ({"raptor": {"threshold": True}}, "raptor.threshold", NUMBER, True),
        ({"raptor": {"max_cluster": 1025}}, "raptor.max_cluster", AT_MOST.format(1024), 1025),
        ({"raptor": {"random_seed": -1}}, "raptor.random_seed", AT_LEAST.format(0), -1),
        ({"raptor": {"scope": 1}}, "raptor.scope", "Extra inputs are not permitted", 1),
        ({"llm_id": "x"}, "llm_id", "Extra inputs are not permitted", "x"),
    ],
)
def test_a_mistake_in_the_parser_configuration(config: dict[str, Any], place: str, message: str, value: Any):
    expected = line(f"parser_config.{place}", message, value)
    assert message_of(CreateDataset, {"name": "n", "parser_config": config}) == expected


def test_mistakes_come_in_the_order_of_the_schema_then_of_the_body():
    payload = {"zz": 1, "parser_config": {"raptor": {"k": 1, "threshold": 2}, "delimiter": ""}, "aa": 2, "avatar": ""}
    places = [text.partition(">")[0] for text in message_of(CreateDataset, payload).split("\n")]
    assert places == [
        f"Field: <{place}"
        for place in (
            "name",
            "avatar",
            "parser_config.delimiter",
            "parser_config.raptor.threshold",
            "parser_config.raptor.k",
            "zz",
            "aa",
        )
    ]


def test_a_long_value_is_shortened():
    assert message_of(CreateDataset, {"name": ["x" * 200]}).endswith(f"Value: <{str(['x' * 200])[:125]}...>")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"parse_type": 1}, "parser_id omitted → required fields missing: pipeline_id"),
        ({"pipeline_id": "a" * 32}, "parser_id omitted → required fields missing: parse_type"),
        (
            {"chunk_method": "qa", "parse_type": 1, "pipeline_id": "a" * 32},
            "parser_id provided → disallowed fields present: parse_type, pipeline_id",
        ),
        ({"chunk_method": "qa", "parse_type": 0}, "parser_id provided → disallowed fields present: parse_type"),
    ],
)
def test_fields_that_exclude_each_other(payload: dict[str, Any], message: str):
    payload = {"name": "n"} | payload
    assert message_of(CreateDataset, payload) == line("", message, shown(payload))


def test_a_parser_configuration_has_a_largest_size():
    message = message_of(CreateDataset, {"name": "n", "parser_config": {"delimiter": "a" * 65536}})
    size = len(ParserConfig(delimiter="a" * 65536).model_dump_json())
    assert f"Parser config exceeds size limit (max 65,535 characters). Current size: {size}>" in message
    assert message.startswith("Field: <parser_config> ")


def test_a_parser_configuration_cannot_hold_nul():
    assert "NUL" in message_of(CreateDataset, {"name": "n", "parser_config": {"raptor": {"prompt": "a\0"}}})
    assert validate(CreateDataset, {"name": "n", "parser_config": {"delimiter": r"\u0000"}})


def test_good_values_are_normalised():
    data = validate(
        CreateDataset,
        {
            "name": "  n  ",
            "embedding_model": " m@p ",
            "avatar": "data:image/png,x",
            "parse_type": 3,
            "pipeline_id": "AB" * 16,
        },
    )
    assert (data.name, data.embedding_model, data.pipeline_id) == ("n", "m@p", "ab" * 16)


UUIDS = st.uuids(version=1)


@given(UUIDS, st.sampled_from(["{}", "urn:uuid:{}", "{{{}}}"]), st.booleans(), st.booleans())
def test_every_spelling_of_a_version_1_uuid_is_accepted(value: uuid.UUID, form: str, dashes: bool, upper: bool):
    text = form.format(str(value) if dashes else value.hex)
    assert normal_uuid1(text.upper().replace("URN:UUID", "urn:uuid") if upper else text) == value.hex


@given(st.one_of(*(st.uuids(version=version) for version in (2, 3, 4, 5)), st.text(max_size=40)))
def test_everything_else_is_refused(value: uuid.UUID | str):
    assert message_of(ListDatasets, {"id": str(value)}) == line("id", UUID1, value)


@pytest.mark.parametrize("value", ["", "0" * 32, "not_uuid", "f" * 32])
def test_things_that_look_like_ids(value: str):
    assert message_of(ListDatasets, {"id": value}) == line("id", UUID1, value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("page", "0", AT_LEAST.format(1)),
        ("page", "a", f"{INTEGER}, unable to parse string as an integer"),
        ("page", "1.5", f"{INTEGER}, unable to parse string as an integer"),
        ("page", "", f"{INTEGER}, unable to parse string as an integer"),
        ("page_size", "-1", AT_LEAST.format(1)),
        ("orderby", "", "Input should be 'create_time' or 'update_time'"),
        ("orderby", "CREATE_TIME", "Input should be 'create_time' or 'update_time'"),
        ("desc", "3.14", f"{BOOLEAN}, unable to interpret input"),
        ("desc", "", f"{BOOLEAN}, unable to interpret input"),
        ("unknown", "1", "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_a_list_query(field: str, value: str, message: str):
    assert message_of(ListDatasets, {field: value}) == line(field, message, value)


def test_a_list_query_converts_text():
    query = validate(ListDatasets, {"page": "1.0", "page_size": " 2 ", "desc": "oFF", "name": ""})
    assert (query.page, query.page_size, query.desc, query.name) == (1, 2, False, "")


@pytest.mark.parametrize("text", ["true", "1", "YES", "y", "On", "t"])
def test_words_for_true(text: str):
    assert validate(ListDatasets, {"desc": text}).desc is True


def test_update_reports_its_own_fields_last():
    payload = {"pagerank": None, "name": None, "dataset_id": "x"}
    assert message_of(UpdateDataset, payload).split("\n") == [
        line("name", STRING, None),
        line("dataset_id", UUID1, "x"),
        line("pagerank", INTEGER, None),
    ]


@pytest.mark.parametrize(("value", "message"), [(-1, AT_LEAST.format(0)), (101, AT_MOST.format(100)), ("1", INTEGER)])
def test_pagerank(value: Any, message: str):
    payload = {"dataset_id": uuid.uuid1().hex, "pagerank": value}
    assert message_of(UpdateDataset, payload) == line("pagerank", message, value)


def test_delete_needs_ids():
    assert message_of(DeleteDatasets, {}) == line("ids", "Field required", {})
    assert message_of(DeleteDatasets, {"ids": [1]}) == line("ids.0", STRING, 1)
    assert message_of(DeleteDatasets, {"ids": "x"}) == line("ids", "Input should be a valid list", "x")
    assert message_of(DeleteDatasets, {"ids": [uuid.uuid4().hex]}).startswith(f"Field: <ids> - Message: <{UUID1}>")


def test_delete_refuses_an_id_that_comes_twice_in_any_spelling():
    value = uuid.uuid1()
    assert f"Duplicate ids: '{value.hex}'" in message_of(DeleteDatasets, {"ids": [value.hex, str(value).upper()]})
    assert validate(DeleteDatasets, {"ids": [str(value)]}).ids == [value.hex]
    assert validate(DeleteDatasets, {"ids": None}).ids is None
