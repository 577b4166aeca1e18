"""`GET /v1/api/stats`: embedded chats day by day, of the caller's tenant only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.services.tokens import create_token
from apps.chats.models import Message, Session
from apps.core.principal import Scope
from tests.apps.conftest import API

from .conftest import ASGI

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = ["pv", "uv", "speed", "tokens", "round", "thumb_up"]
EMPTY: dict[str, Any] = {key: [] for key in KEYS}
PATH = "/v1/api/stats"


def stats(client: API, query: str = "") -> dict[str, Any]:
    answer = client.call("GET", PATH + query)
    assert (answer["code"], answer["message"]) == (0, "success"), answer
    assert list(answer["data"]) == KEYS
    return answer["data"]


def day(ago: int) -> str:
    return str((timezone.now() - timedelta(days=ago)).date())


def chatted(chat: str, *exchanges: tuple[int, float], ago: int = 0, user: str = "", is_embedded: bool = True) -> None:
    """Store an embedded session with these (tokens, seconds)."""
    session = Session.objects.create(assistant_id=chat, user_id=user, is_embedded=is_embedded)
    Session.objects.filter(pk=session.pk).update(created_at=timezone.now() - timedelta(days=ago))
    Message.objects.create(session=session, role="assistant", content="Hi")
    for tokens, seconds in exchanges:
        Message.objects.create(session=session, role="user", content="?")
        Message.objects.create(session=session, role="assistant", content="!", tokens=tokens, seconds=seconds)


def test_numbers_by_day(api: API, chat: str):
    chatted(chat, (1000, 1.0), (500, 0.9), ago=2, user="ann")
    chatted(chat, (500, 0.0), ago=2, user="ben")
    chatted(chat, ago=2, user="ben")
    chatted(chat, ago=0)
    chatted(chat, (9, 9.0), is_embedded=False)
    assert stats(api) == {
        "pv": [[day(2), 3], [day(0), 1]],
        "uv": [[day(2), 2], [day(0), 1]],
        "speed": [[day(2), pytest.approx(1000.0)], [day(0), 0.0]],
        "tokens": [[day(2), 2.0], [day(0), 0.0]],
        "round": [[day(2), 1.0], [day(0), 0.0]],
        "thumb_up": [[day(2), 0], [day(0), 0]],
    }


def test_a_real_conversation(api: API, chat: str):
    from apps.accounts.services.tokens import create_share_token

    page = ASGI(create_share_token(tenant=api.tenant).secret)
    path = f"/api/v1/chatbots/{chat}/completions"
    greeted = page.ask(path, {"question": "", "stream": False}).json
    page.ask(path, {"question": "Who built the bridge?", "session_id": greeted["data"]["session_id"], "stream": False})
    found = stats(api)
    assert (found["pv"], found["uv"], found["round"]) == ([[day(0), 1]], [[day(0), 1]], [[day(0), 1.0]])
    assert found["tokens"][0][1] > 0
    assert found["speed"][0][1] > 0
    answer = Message.objects.last()
    assert answer.seconds > 0


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("", [6, 1, 0]),
        ("?from_date={2}", [1, 0]),
        ("?from_date={9}", [8, 6, 1, 0]),
        ("?from_date={9}&to_date={1}", [8, 6, 1]),
        ("?from_date={9}%2000:00:00&to_date={1}%2000:00:00", [8, 6]),
        ("?to_date={6}", [6]),
        ("?from_date={1}&to_date={6}", []),
        ("?from_date=&to_date=", [6, 1, 0]),
        ("?canvas_id=", []),
        ("?canvas_id=x", []),
    ],
)
def test_periods(api: API, chat: str, query: str, days: list[int]):
    for ago in (8, 6, 1, 0):
        chatted(chat, ago=ago)
    query = query.format(*(day(ago) for ago in range(10)))
    assert [named for named, _ in stats(api, query)["pv"]] == [day(ago) for ago in days]


@pytest.mark.parametrize("text", ["x", "2026-13-01", "2026-01-01T", "%00", "9999-12-31", "0001-01-01", "2026-W01-1"])
@pytest.mark.parametrize("name", ["from_date", "to_date"])
def test_what_is_no_day(api: API, profile: str, name: str, text: str):
    answer = api.call("GET", f"{PATH}?{name}={text}")
    assert answer["code"] in ({0} if text[:4] in {"9999", "0001"} or "W" in text else {100, 101})
    if answer["code"]:
        assert f"`{name}`" in answer["message"]


def test_whose(api: API, other: API, chat: str, profile: str):
    chatted(chat)
    assert stats(other) == EMPTY
    assert stats(api)["pv"] == [[day(0), 1]]
    for credentials in (None, "wrong"):
        answer = API(credentials).call("GET", PATH)
        assert (answer["status"], answer["code"]) == (401, 401)
    reads = create_token(tenant=api.tenant, scopes={Scope.READ}).secret
    chats = create_token(tenant=api.tenant, scopes={Scope.CHAT}).secret
    assert stats(API(reads))["pv"] == [[day(0), 1]]
    assert API(chats).call("GET", PATH)["status"] == 403
    elsewhere = create_token(tenant=api.tenant, scopes={Scope.READ}, assistant_ids={"0" * 32}).secret
    assert stats(API(elsewhere)) == EMPTY


def test_few_queries_for_many_sessions(api: API, chat: str, django_assert_max_num_queries: Any):
    for ago in range(6):
        chatted(chat, (1, 1.0), (1, 1.0), ago=ago)
    stats(api)
    with django_assert_max_num_queries(4):
        stats(api)
