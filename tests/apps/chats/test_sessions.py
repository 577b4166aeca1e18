"""Creating, listing, changing and deleting sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic, sleep
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.chats import selectors, services
from apps.chats.models import Message, Session
from apps.chats.schemas import SessionData
from apps.core.errors import NotFound

pytestmark = pytest.mark.django_db


@pytest.fixture
def sessions(chat):
    return f"/api/v1/chats/{chat}/sessions"


def refused(answer, profile, message, *, code=102, status=400):
    expected = 200 if profile == "exact" else status
    assert (answer["code"], answer["message"], answer["status"]) == (code, message, expected)


def create(api, path, **body):
    answer = api.call("POST", path, body)
    assert answer["code"] == 0, answer
    return answer["data"]


def listed(api, path, query=""):
    answer = api.call("GET", f"{path}{query}")
    assert answer["code"] == 0, answer
    return answer["data"]


def test_a_new_session_begins_with_the_opener(api, chat, sessions):
    data = create(api, sessions)
    for time in ("create_time", "create_date", "update_time", "update_date"):
        assert data.pop(time)
    assert len(data.pop("id")) == 32
    assert data == {
        "chat_id": chat,
        "name": "New session",
        "user_id": "",
        "messages": [{"role": "assistant", "content": "Hi! I'm your assistant. What can I do for you?"}],
    }


@pytest.mark.parametrize("name", ["", None])
def test_a_name_that_is_given_must_not_be_empty(api, sessions, profile, name):
    refused(api.call("POST", sessions, {"name": name}), profile, "`name` can not be empty.")
    session = create(api, sessions)["id"]
    refused(api.call("PUT", f"{sessions}/{session}", {"name": name}), profile, "`name` can not be empty.")


def test_names_need_not_be_unique(api, sessions):
    create(api, sessions, name="same", user_id="u")
    create(api, sessions, name="SAME")
    assert len(listed(api, sessions)) == 2


def test_lists_are_filtered_ordered_and_paged(api, sessions):
    ids = {name: create(api, sessions, name=name, user_id=f"user {name}")["id"] for name in ("b", "a", "c")}

    def names(query):
        return [item["name"] for item in listed(api, sessions, query)]

    assert names("") == ["c", "a", "b"]
    assert names("?orderby=name&desc=False") == ["a", "b", "c"]
    assert names("?page=2&page_size=2") == ["b"]
    assert names(f"?id={ids['a']}") == ["a"]
    assert names("?name=a&user_id=user a") == ["a"]
    assert names(f"?id={ids['a']}&name=b") == []
    assert names("?id=&name=&user_id=") == ["c", "a", "b"]


def test_a_list_costs_the_same_queries_for_any_number_of_sessions(api, sessions):
    for _ in range(8):
        create(api, sessions)
    api.call("GET", sessions)
    with CaptureQueriesContext(connection) as queries:
        assert len(listed(api, sessions)) == 8
    assert len(queries) == 4, queries.captured_queries  # token, chat, sessions, messages


def test_an_update_changes_name_and_user(api, sessions):
    session = create(api, sessions)
    before = session["update_time"]
    assert api.call("PUT", f"{sessions}/{session['id']}", {"name": "new", "user_id": "u"}) == {"code": 0, "status": 200}
    (item,) = listed(api, sessions)
    assert (item["name"], item["user_id"]) == ("new", "u")
    assert item["update_time"] >= before


def test_an_empty_update_succeeds_and_is_remembered(api, sessions):
    session = create(api, sessions)["id"]
    before = Session.objects.get(pk=session).updated_at
    assert api.call("PUT", f"{sessions}/{session}", {})["code"] == 0
    assert Session.objects.get(pk=session).updated_at > before


def test_updates_at_once_lose_nothing_of_each_other(api, sessions):
    created = create(api, sessions, name="old", user_id="old")["id"]
    first, second = Session.objects.get(pk=created), Session.objects.get(pk=created)
    services.update_session(session=first, data=SessionData(name="new"))
    services.update_session(session=second, data=SessionData(user_id="new"))
    (item,) = listed(api, sessions)
    assert (item["name"], item["user_id"]) == ("new", "new")


def test_a_session_that_is_deleted_before_its_update_is_unknown(api, sessions):
    session = Session.objects.get(pk=create(api, sessions)["id"])
    api.call("DELETE", sessions, {"ids": [session.pk]})
    with pytest.raises(NotFound):
        services.update_session(session=session, data=SessionData(name="new"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": []}, "`message` can not be change"),
        ({"messages": []}, "`message` can not be change"),
        ({"reference": []}, "`reference` can not be change"),
    ],
)
def test_what_was_said_cannot_be_changed(api, sessions, profile, body, message):
    session = create(api, sessions)["id"]
    refused(api.call("PUT", f"{sessions}/{session}", body), profile, message)


def test_an_unknown_key_is_refused(api, sessions, profile):
    session = create(api, sessions)["id"]
    answer = api.call("PUT", f"{sessions}/{session}", {"colour": "red"})
    assert answer["code"] == (100 if profile == "exact" else 101)
    assert "colour" in answer["message"]


def test_a_session_is_found_only_under_its_own_chat(api, other, chat, create_chat, sessions, profile):
    session = create(api, sessions)["id"]
    second = create_chat("second")["id"]
    for client, path in [
        (api, f"/api/v1/chats/{second}/sessions/{session}"),
        (api, f"{sessions}/unknown"),
        (other, f"{sessions}/{session}"),
    ]:
        refused(client.call("PUT", path, {"name": "x"}), profile, "Session does not exist", status=404)


def test_the_sessions_of_a_deleted_chat_are_out_of_reach(api, chat, sessions, profile):
    session = create(api, sessions)["id"]
    api.call("DELETE", "/api/v1/chats", {"ids": [chat]})
    missing = {"status": 404}
    update = api.call("PUT", f"{sessions}/{session}", {"name": "x"})
    refused(update, profile, "You do not own the session", **missing)
    refused(api.call("POST", sessions, {}), profile, "You do not own the assistant.", **missing)
    refused(api.call("GET", sessions), profile, f"You don't own the assistant {chat}.", **missing)
    refused(api.call("DELETE", sessions, {}), profile, "You don't own the chat", **missing)


def test_nobody_sees_another_tenants_sessions(api, other, chat, sessions, profile):
    session = create(api, sessions)["id"]
    missing = {"status": 404}
    refused(other.call("POST", sessions, {}), profile, "You do not own the assistant.", **missing)
    refused(other.call("GET", sessions), profile, f"You don't own the assistant {chat}.", **missing)
    refused(other.call("DELETE", sessions, {"ids": [session]}), profile, "You don't own the chat", **missing)
    assert [item["id"] for item in listed(api, sessions)] == [session]


@pytest.mark.parametrize("body", [None, {}, {"ids": None}, {"ids": []}])
def test_no_ids_mean_all_sessions_of_the_chat(api, create_chat, sessions, body):
    second = f"/api/v1/chats/{create_chat('second')['id']}/sessions"
    create(api, second)
    for _ in range(33):
        create(api, sessions)
    assert api.call("DELETE", sessions, body) == {"code": 0, "status": 200}
    assert api.call("DELETE", sessions, body) == {"code": 0, "status": 200}
    assert listed(api, sessions) == []
    assert len(listed(api, second)) == 1


def test_a_deletion_reports_what_it_could_not_delete(api, create_chat, sessions, profile):
    second = f"/api/v1/chats/{create_chat('second')['id']}/sessions"
    foreign = create(api, second)["id"]
    one, two = create(api, sessions)["id"], create(api, sessions)["id"]
    partial = api.call("DELETE", sessions, {"ids": [one, foreign]})
    assert partial["data"] == {"success_count": 1, "errors": [f"The chat doesn't own the session {foreign}"]}
    doubled = api.call("DELETE", sessions, {"ids": [two, two]})
    assert doubled["data"] == {"success_count": 1, "errors": [f"Duplicate session ids: {two}"]}
    nothing = api.call("DELETE", sessions, {"ids": [foreign, "x"]})
    message = f"The chat doesn't own the session {foreign}; The chat doesn't own the session x"
    refused(nothing, profile, message)
    assert len(listed(api, second)) == 1
    assert Message.objects.count() == 1  # those of deleted sessions are gone


def test_a_deletion_may_name_more_than_a_statement_takes(api, sessions, principal):
    made = create(api, sessions)["id"]
    found = services.delete_sessions(
        principal=principal, assistant=Session.objects.get(pk=made).assistant, ids=[made, *map(str, range(250_000))]
    )
    assert (found.deleted, len(found.errors)) == (1, 250_000)


def test_an_empty_session_id_names_the_shorter_route(api, sessions, profile):
    answer = api.call("PUT", f"{sessions}/", {})
    assert (answer["code"], answer["message"]) == (100, "<MethodNotAllowed '405: Method Not Allowed'>")


def exchange(session, number):
    return services.Exchange(session, uuid4(), f"question {number}", f"answer {number}", reference={})


def test_the_cost_of_a_turn_does_not_depend_on_what_was_said_before(api, sessions, chat):
    session = Session.objects.get(pk=create(api, sessions)["id"])
    costs = []
    for number in range(30):
        with CaptureQueriesContext(connection) as queries:
            selectors.recent_messages(session, 10)
            services.record_exchange(exchange=exchange(session.pk, number))
        costs.append(len(queries))
    assert len(set(costs)) == 1
    recent = selectors.recent_messages(session, 4)
    assert [content for _role, content in recent] == ["question 28", "answer 28", "question 29", "answer 29"]


def test_an_exchange_for_a_deleted_session_is_dropped(api, sessions):
    session = create(api, sessions)["id"]
    api.call("DELETE", sessions, {"ids": [session]})
    services.record_exchange(exchange=exchange(session, 1))
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="other databases lock no rows")
@pytest.mark.parametrize("named", [True, False])
def test_a_session_is_deleted_with_the_exchange_that_is_being_recorded(api, sessions, named):
    session = create(api, sessions)["id"]
    has_lock = Event()

    def record() -> None:
        try:
            with transaction.atomic():
                Session.objects.filter(pk=session).update(name="locked")
                has_lock.set()
                wait_until_somebody_waits()
                services.record_exchange(exchange=exchange(session, 1))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record)
        assert has_lock.wait(10)
        assert api.call("DELETE", sessions, {"ids": [session]} if named else {})["code"] == 0
        recording.result()
    assert not Message.objects.exists()


def wait_until_somebody_waits() -> None:
    end = monotonic() + 10
    with connection.cursor() as cursor:
        while monotonic() < end:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
            sleep(0.01)
    raise AssertionError("nobody waits")
