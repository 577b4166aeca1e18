"""From `prompt` and `llm` of the API to what is stored, and back."""

from __future__ import annotations

import pytest

from apps.chats.prompt_config import check_variables, completed, public_names, read_llm, read_prompt
from apps.core.errors import BadValue, DataError

DEFAULT = "Use this: {knowledge}"


def test_public_names_are_stored_under_their_own():
    changes = read_prompt(
        {
            "prompt": "Be brief. {knowledge}",
            "opener": "Hello",
            "show_quote": False,
            "variables": [],
            "keyword": True,
            "similarity_threshold": 1,
            "keywords_similarity_weight": 0.9,
            "top_n": 3,
            "top_k": "10",
            "rerank_model": None,
        }
    )
    assert changes.config == {
        "system": "Be brief. {knowledge}",
        "prologue": "Hello",
        "quote": False,
        "parameters": [],
        "keyword": True,
    }
    assert changes.columns == {
        "similarity_threshold": 1.0,
        "vector_similarity_weight": 0.9,
        "top_n": 3,
        "top_k": 10,
        "rerank_model": "",
    }


@pytest.mark.parametrize("order", [1, -1])
def test_a_public_name_wins_over_its_alias_in_any_order(order):
    both = [
        ("system", "a"),
        ("prompt", "b"),
        ("rerank_id", "a"),
        ("rerank_model", "b"),
        ("vector_similarity_weight", 0.1),
        ("keywords_similarity_weight", 0.2),
    ]
    changes = read_prompt(dict(both[::order]))
    assert changes.config["system"] == "b"
    assert changes.columns == {"rerank_model": "b", "vector_similarity_weight": 0.2}


def test_the_stored_names_alone_work_too():
    changes = read_prompt({"system": "s", "prologue": "p", "quote": False, "parameters": [], "rerank_id": "r"})
    assert changes.config == {"system": "s", "prologue": "p", "quote": False, "parameters": []}
    assert changes.columns == {"rerank_model": "r"}


def test_only_absent_keys_get_a_default_except_the_system_text():
    config = completed({"system": "", "prologue": "", "empty_response": None, "quote": False}, default_system=DEFAULT)
    assert config["system"] == DEFAULT
    assert (config["prologue"], config["empty_response"], config["quote"]) == ("", None, False)
    assert config["parameters"] == [{"key": "knowledge", "optional": False}]
    assert (config["tts"], config["refine_multiturn"]) == (False, True)


def test_defaults_are_not_shared_between_assistants():
    completed({}, default_system=DEFAULT)["extra"] = 1
    assert "extra" not in completed({}, default_system=DEFAULT)


def test_stored_names_read_back_as_public_ones():
    assert public_names({"system": "s", "prologue": "p", "quote": True, "parameters": [], "tts": False, "x": 1}) == {
        "prompt": "s",
        "opener": "p",
        "show_quote": True,
        "variables": [],
        "tts": False,
        "x": 1,
    }


def test_a_required_variable_must_occur_in_the_system_text():
    unused = {"system": "Hello World", "parameters": [{"key": "topic", "optional": False}]}
    with pytest.raises(DataError, match=r"^Parameter 'topic' is not used$"):
        check_variables(unused)
    check_variables({**unused, "system": "About {topic}"})
    check_variables({**unused, "parameters": [{"key": "topic", "optional": True, "value": "kept"}]})
    check_variables({**unused, "parameters": []})
    check_variables({**unused, "parameters": None})


@pytest.mark.parametrize(
    ("parameters", "missing"), [([{"key": "a"}], "optional"), ([{"optional": False}], "key"), ([{}], "optional")]
)
def test_a_variable_needs_key_and_optional(parameters, missing):
    with pytest.raises(BadValue) as caught:
        check_variables({"system": "{a}", "parameters": parameters})
    assert caught.value.reference == f"KeyError('{missing}')"


@pytest.mark.parametrize(
    "prompt", [{"top_n": "many"}, {"similarity_threshold": []}, {"top_k": 2**40}, {"rerank_model": 7}, {"top_n": None}]
)
def test_a_column_of_the_wrong_type_is_named(prompt):
    with pytest.raises(BadValue, match=next(iter(prompt))):
        read_prompt(prompt)


def test_generation_options_are_kept_as_they_come():
    options = {"temperature": 0, "max_token": 5, "model_type": "chat"}
    assert read_llm({"model_name": "glm-4", **options}) == ("glm-4", options)
    assert read_llm({}) == (None, {})
    with pytest.raises(BadValue, match="model_name"):
        read_llm({"model_name": 7})
