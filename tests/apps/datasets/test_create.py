"""POST /api/v1/datasets."""

from __future__ import annotations

import uuid

import pytest

from apps.datasets.models import KnowledgeBase
from apps.datasets.parser_config import RAPTOR_PROMPT
from ragflow.engine.registry import ModelSettings

PATH = "/api/v1/datasets"
NAIVE = {
    "auto_keywords": 0,
    "auto_questions": 0,
    "chunk_token_num": 512,
    "delimiter": "\n",
    "graphrag": {
        "use_graphrag": True,
        "entity_types": ["organization", "person", "geo", "event", "category"],
        "method": "light",
    },
    "html4excel": False,
    "image_context_size": 0,
    "layout_recognize": "DeepDOC",
    "llm_id": "extractive@Builtin",
    "raptor": {
        "use_raptor": True,
        "prompt": RAPTOR_PROMPT,
        "max_token": 256,
        "threshold": 0.1,
        "max_cluster": 64,
        "random_seed": 0,
    },
    "table_context_size": 0,
    "topn_tags": 3,
}


def test_a_dataset_as_the_contract_shows_it(api, profile):
    data = api.create_dataset("manuals")
    times = {name: data.pop(name) for name in ("create_time", "create_date", "update_time", "update_date")}
    assert uuid.UUID(data.pop("id")).version == 1
    assert data == {
        "name": "manuals",
        "avatar": None,
        "description": None,
        "tenant_id": api.tenant.pk,
        "created_by": api.tenant.pk,
        "language": "English",
        "permission": "me",
        "embedding_model": "hash-1024@Builtin",
        "chunk_method": "naive",
        "pipeline_id": None,
        "parser_config": NAIVE,
        "pagerank": 0,
        "document_count": 0,
        "chunk_count": 0,
        "token_num": 0,
        "similarity_threshold": 0.2,
        "vector_similarity_weight": 0.3,
        "status": "1",
        "graphrag_task_id": None,
        "graphrag_task_finish_at": None,
        "raptor_task_id": None,
        "raptor_task_finish_at": None,
        "mindmap_task_id": None,
        "mindmap_task_finish_at": None,
    }
    assert isinstance(times["create_time"], int)
    assert times["create_date"].endswith(" GMT")


@pytest.mark.parametrize("method", ["qa", "manual", "paper", "book", "laws", "presentation"])
def test_methods_that_switch_summaries_off(api, method):
    assert api.create_dataset(chunk_method=method)["parser_config"] == {
        "table_context_size": 0,
        "image_context_size": 0,
        "raptor": {"use_raptor": False},
        "graphrag": {"use_graphrag": False},
        "llm_id": "extractive@Builtin",
    }


@pytest.mark.parametrize("method", ["table", "tag", "one", "email", "picture"])
def test_methods_without_defaults(api, method):
    config = api.create_dataset(chunk_method=method)["parser_config"]
    assert set(config) == {"table_context_size", "image_context_size", "llm_id"}


@pytest.mark.parametrize("nothing", [None, {}])
def test_an_empty_configuration_is_none(api, nothing):
    assert api.create_dataset(parser_config=nothing)["parser_config"] == NAIVE


def test_a_partial_configuration_is_completed_and_switches_summaries_off(api):
    config = api.create_dataset(parser_config={"chunk_token_num": 100, "task_page_size": None})["parser_config"]
    assert config["chunk_token_num"] == 100
    assert config["delimiter"] == r"\n"
    assert config["topn_tags"] == 1
    assert config["task_page_size"] is None
    assert config["raptor"]["use_raptor"] is config["graphrag"]["use_graphrag"] is False
    assert config["graphrag"]["entity_types"] == NAIVE["graphrag"]["entity_types"]
    kept = api.create_dataset(parser_config={"raptor": {"use_raptor": True}, "filename_embd_weight": None})
    assert kept["parser_config"]["raptor"]["use_raptor"] is True
    assert kept["parser_config"]["filename_embd_weight"] is None


def test_a_name_in_use_gets_a_number_in_any_letter_case(api, other):
    assert [api.create_dataset(name)["name"] for name in ("Report", "report", "REPORT")] == [
        "Report",
        "report(1)",
        "REPORT(2)",
    ]
    assert other.create_dataset("report")["name"] == "report"


def test_a_name_is_free_again_after_deletion(api):
    for _ in range(3):
        dataset = api.create_dataset("again")
        assert dataset["name"] == "again"
        assert api.call("DELETE", PATH, {"ids": [dataset["id"]]})["code"] == 0


def test_a_full_length_name_can_be_taken_twice(api):
    names = [api.create_dataset("n" * 128)["name"] for _ in range(2)]
    assert names[1] == "n" * 125 + "(1)"


def test_a_name_is_limited_in_bytes_too(api, profile):
    answer = api.call("POST", PATH, {"name": "é" * 65})
    assert answer["code"] == 102
    assert answer["message"] == "Dataset name length is 65 which is large than 128"


def test_a_pipeline_dataset(api):
    data = api.create_dataset(parse_type=2, pipeline_id="AB" * 16)
    assert (data["chunk_method"], data["pipeline_id"]) == ("naive", "ab" * 16)
    assert "parse_type" not in data


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"", "application/json", "Malformed JSON syntax: Missing commas/brackets or invalid encoding"),
        (b'{"name":', "application/json", "Malformed JSON syntax: Missing commas/brackets or invalid encoding"),
        (b'"text"', "application/json", "Invalid request payload: expected object, got str"),
        (b"[1]", "application/json", "Invalid request payload: expected object, got list"),
        (b"null", "application/json", "Field: <name> - Message: <Field required> - Value: <{}>"),
        (b'{"name": "x"}', "text/xml", "Field: <name> - Message: <Field required> - Value: <{}>"),
    ],
)
def test_a_body_that_is_no_object(api, profile, body, content_type, message):
    answer = api.send("POST", PATH, body, content_type)
    assert (answer["code"], answer["message"]) == (101, message)
    assert answer["status"] == (400 if profile == "standard" else 200)
    assert "data" not in answer


def test_parameters_of_the_content_type_do_not_matter(api):
    answer = api.send("POST", PATH, b'{"name": "x"}', "Application/JSON; charset=utf-8")
    assert answer["data"]["name"] == "x"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("text-embedding-3-small@OpenAI", "Unauthorized model: <text-embedding-3-small@OpenAI>"),
        ("text-embedding-v3@Tongyi-Qianwen", "Unauthorized model: <text-embedding-v3@Tongyi-Qianwen>"),
        ("embedding-3@ZHIPU-AI", "Unauthorized model: <embedding-3@ZHIPU-AI>"),
        ("unknown@OpenAI", "Unsupported model: <unknown@OpenAI>"),
        ("text-embedding-3-small@Nobody", "Unsupported model: <text-embedding-3-small@Nobody>"),
        ("nomic-embed-text@Ollama", "Unsupported model: <nomic-embed-text@Ollama>"),
        ("a@b@OpenAI", "Unsupported model: <a@b@OpenAI>"),
    ],
)
def test_models_that_are_not_available(api, profile, model, message):
    answer = api.call("POST", PATH, {"name": "n", "embedding_model": model})
    assert (answer["code"], answer["message"]) == (101, message)
    assert not KnowledgeBase.objects.exists()


@pytest.mark.parametrize("model", ["BAAI/bge-small-en-v1.5@Builtin", "all-MiniLM-L6-v2@Builtin", "hash-1024@Builtin"])
def test_builtin_models_are_available(api, model):
    assert api.create_dataset(embedding_model=f" {model} ")["embedding_model"] == model


def test_models_of_a_configured_provider(api, settings):
    from apps.accounts import language_models

    settings.MODELS = ModelSettings(base_url="http://127.0.0.1:9/v1", embedding_model="embedding-3@ZHIPU-AI")
    language_models.registry.reset()
    assert api.create_dataset()["embedding_model"] == "embedding-3@ZHIPU-AI"
    assert api.create_dataset(embedding_model="embedding-2@ZHIPU-AI")["embedding_model"] == "embedding-2@ZHIPU-AI"
    for model, reason in {
        "embedding-9@ZHIPU-AI": "Unsupported",
        "text-embedding-3-small@OpenAI": "Unauthorized",
    }.items():
        answer = api.call("POST", PATH, {"name": "n", "embedding_model": model})
        assert answer["message"] == f"{reason} model: <{model}>"


def test_any_model_of_a_configured_model_server(api, settings):
    from apps.accounts import language_models

    settings.MODELS = ModelSettings(base_url="http://127.0.0.1:9/v1", chat_model="llama3@Ollama")
    language_models.registry.reset()
    assert api.create_dataset(embedding_model="nomic@Ollama")["embedding_model"] == "nomic@Ollama"


def test_the_tenants_default_model_is_used_as_it_is(api, tenant):
    tenant.embedding_model = "mine@Somewhere"
    tenant.save()
    assert api.create_dataset()["embedding_model"] == "mine@Somewhere"
