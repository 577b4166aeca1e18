"""The accessors of the engine."""

from __future__ import annotations

import pytest

from apps.accounts import language_models
from apps.datasets.engine import doc_store
from ragflow.engine.errors import ModelNotFound, StoreUnavailable


def test_one_store_on_the_configured_file(settings):
    settings.ELASTICSEARCH_URL = ""
    doc_store.reset()
    store = doc_store()
    assert doc_store() is store
    assert store.name == "embedded"
    store.count("nothing")
    assert settings.INDEX_FILE.exists()


def test_elasticsearch_where_it_is_configured(settings):
    settings.ELASTICSEARCH_URL = "http://127.0.0.1:9"
    doc_store.reset()
    assert doc_store().name == "elasticsearch"  # nothing is connected yet


def test_an_elasticsearch_that_is_away_does_not_fill_the_log(settings, caplog):
    settings.ELASTICSEARCH_URL = "http://127.0.0.1:9"
    doc_store.reset()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        doc_store().ping()
    assert caplog.records == []


@pytest.mark.django_db
def test_models_of_a_tenant(tenant):
    assert language_models.default_embedding_name(tenant) == "hash-1024@Builtin"
    assert language_models.default_chat_name(tenant) == "extractive@Builtin"
    assert language_models.chat_model_for(tenant) is language_models.chat_model_for(tenant, "extractive@Builtin")
    assert language_models.embedder_for("hash-1024@Builtin", tenant.pk).dimension == 1024
    tenant.chat_model, tenant.embedding_model = "gpt@Somewhere", "embed@Somewhere"
    assert language_models.default_embedding_name(tenant) == "embed@Somewhere"
    with pytest.raises(ModelNotFound, match="gpt@Somewhere"):
        language_models.chat_model_for(tenant)
    with pytest.raises(ModelNotFound):
        language_models.reranker_for("none@Nowhere", tenant.pk)
