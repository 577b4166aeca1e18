"""What opening a turn costs in queries: the same however long the session is and however many datasets there are."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.chats import asks, turns
from apps.chats.models import Assistant, Message, SearchApp
from apps.datasets.models import KnowledgeBase

pytestmark = pytest.mark.django_db

QUESTION = "Who built the red bridge of Ulm?"
SAID = [{"role": "user", "content": QUESTION}]
CONDITION = {"conditions": [{"name": "author", "comparison_operator": "is", "value": "Nora"}]}


@pytest.fixture
def filled_session(chat, session):
    """A session, and what makes it long."""

    def prolong():
        Message.objects.bulk_create(
            Message(session_id=session, role="user" if number % 2 else "assistant", content=f"words {number}")
            for number in range(300)
        )

    return session, prolong


@pytest.fixture
def search(tenant, dataset):
    return SearchApp.objects.create(tenant=tenant, name="shop", search_config={"kb_ids": [dataset]})


# Each way with the number of its queries: how it opens a turn of (principal, chat, session, datasets, search app).
OPENINGS = {
    # chat, session, messages, datasets
    "completion": (4, lambda p, chat, session, _ids, _app: turns.open_turn(p, chat, _body(session))),
    "with a condition": (
        4, lambda p, chat, session, _ids, _app: turns.open_turn(p, chat, _body(session, metadata_condition=CONDITION)),
    ),
    # and those that the request adds
    "further datasets": (5, lambda p, chat, session, ids, _app: turns.open_turn(p, chat, _body(session, kb_ids=ids))),
    "embedded": (4, lambda p, chat, session, _ids, _app: turns.open_embedded_turn(p, chat, _body(session))),
    # chat, datasets
    "OpenAI": (2, lambda p, chat, _session, _ids, _app: turns.open_openai_turn(p, chat, {"messages": SAID})),
    "OpenAI by model": (
        2, lambda p, chat, _session, _ids, _app: turns.open_model_turn(p, {"model": chat, "messages": SAID}),
    ),
    # datasets, tenant
    "ask": (2, lambda p, _chat, _session, ids, _app: asks.open_ask(p, {"question": QUESTION, "dataset_ids": ids})),
    "page ask": (2, lambda p, _chat, _session, ids, _app: asks.open_page_ask(p, {"question": QUESTION, "kb_ids": ids})),
    # and the search app
    "search app": (
        3, lambda p, _chat, _session, _ids, app: asks.open_page_ask(p, {"question": QUESTION, "kb_ids": [], **app}),
    ),
    "mind map": (
        2, lambda p, _chat, _session, ids, _app: asks.open_page_mind_map(p, {"question": QUESTION, "kb_ids": ids}),
    ),
    "trial": (2, lambda p, _chat, _session, ids, _app: asks.open_page_trial(p, {"question": QUESTION, "kb_id": ids})),
    "related": (1, lambda p, _chat, _session, _ids, _app: asks.open_related(p, {"question": QUESTION})),
}  # fmt: skip


def _body(session, **more):
    return {"question": QUESTION, "session_id": session} | more


@pytest.mark.parametrize(("number", "open_"), OPENINGS.values(), ids=OPENINGS)
def test_opening_costs_the_same(api, principal, chat, filled_session, dataset, search, fill, number, open_):
    session, prolong = filled_session

    def cost(ids):
        opened = open_(principal, chat, session, ids, {"search_id": search.pk})
        with CaptureQueriesContext(connection) as queries:
            again = open_(principal, chat, session, ids, {"search_id": search.pk})
        assert type(again) is type(opened)
        return queries

    few = cost([dataset])
    assert len(few) == number, [query["sql"] for query in few.captured_queries]
    prolong()
    ids = [dataset, *(fill(api, f"The harbour {n}.", name=f"more{n}") for n in range(4))]
    answer = api.call("PUT", f"/api/v1/chats/{chat}", {"dataset_ids": ids})
    assert answer["code"] == 0, answer
    search.search_config = {"kb_ids": ids}
    search.save()
    assert Assistant.objects.get(pk=chat).dataset_links.count() == len(ids) == KnowledgeBase.objects.count()
    many = cost(ids)
    assert len(many) == number, [query["sql"] for query in many.captured_queries]
