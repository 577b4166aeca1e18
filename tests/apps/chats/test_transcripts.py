"""Golden transcripts: every byte of every stream, from the request to the terminator, with a scripted provider.

Ids and times are replaced by names. After an intended change, write the transcripts anew and read the difference:

    UPDATE_TRANSCRIPTS=1 python -m pytest tests/apps/chats/test_transcripts.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools.model_server import Reply

from .conftest import BRIDGE, LIGHTHOUSE

pytestmark = pytest.mark.django_db(transaction=True)

FOLDER = Path(__file__).with_name("transcripts")
QUESTION = "Who built the red bridge of Ulm?"
UNKNOWN = "xylophone quark"
SAID = [{"role": "user", "content": QUESTION}]
ROWS = b"product,price\nMouse,79\nKeyboard,120"
NORD = Reply(pieces=["Clara ", "Nord. ", "[ID:0]"])
THINKING = Reply(pieces=["Nord."], reasoning="Hm.")
BUSY = Reply(status=429, headers={"Retry-After": "60"}, message="busy")
PAGES = Reply(
    endpoint="web",
    pages=[{"url": "https://example.org/nord", "title": "Clara Nord", "content": "Born in 1870.", "score": 0.9}],
)
SQL = Reply(text="SELECT product FROM spreadsheet WHERE price = 79")

SESSION, CHAT, OPENAI = "{session}", "/api/v1/chats/{chat}/completions", "/api/v1/chats_openai/{chat}/chat/completions"
ASK, CHATBOT, SEARCHBOT = "/api/v1/sessions/ask", "/api/v1/chatbots/{chat}/completions", "/api/v1/searchbots/ask"
REASONING = (Reply(text="ENOUGH"), Reply(text="Nord."))


def within(**more: Any) -> dict[str, Any]:
    return {"question": QUESTION, "session_id": SESSION} | more


def openai(**more: Any) -> dict[str, Any]:
    return {"model": "any", "messages": SAID, "stream": True} | more


# name: (path, body, replies of the provider)
STREAMS: dict[str, tuple[str, dict[str, Any], tuple[Reply, ...]]] = {
    "completion": (CHAT, within(), (NORD,)),
    "completion-opener": (CHAT, {"question": QUESTION}, ()),
    "completion-empty": (CHAT, within(question=UNKNOWN), ()),
    "completion-without-quote": (CHAT, within(quote=False), (NORD,)),
    "completion-thoughts": (CHAT, within(), (THINKING,)),
    "completion-reasoning": (CHAT, within(reasoning=True), REASONING),
    "completion-rows": (CHAT.replace("{chat}", "{tables}"), within(session_id="{tables_session}"), (SQL,)),
    "completion-solo": (CHAT.replace("{chat}", "{solo}"), within(session_id="{solo_session}"), (NORD,)),
    "completion-failure": (CHAT, within(), (BUSY,)),
    "completion-spoken": (CHAT.replace("{chat}", "{spoken}"), within(session_id="{spoken_session}"), (NORD,)),
    "completion-web": (CHAT.replace("{chat}", "{web}"), within(session_id="{web_session}"), (PAGES, NORD)),
    "openai": (OPENAI, openai(), (NORD,)),
    "openai-reference": (OPENAI, openai(extra_body={"reference": True}), (NORD,)),
    "openai-usage": (OPENAI, openai(stream_options={"include_usage": True}), (NORD,)),
    "openai-thoughts": (OPENAI, openai(reference=True), (THINKING,)),
    "openai-empty": (OPENAI, openai(messages=[{"role": "user", "content": UNKNOWN}]), ()),
    "openai-rows": (OPENAI.replace("{chat}", "{tables}"), openai(reference=True), (SQL,)),
    "openai-failure": (OPENAI, openai(), (Reply(text="One two", cut_after=1),)),
    "openai-by-model": ("/api/v1/openai/chat/completions", openai(model="golden"), (NORD,)),
    "ask": (ASK, {"question": QUESTION, "dataset_ids": ["{dataset}"]}, (NORD,)),
    "ask-thoughts": (ASK, {"question": QUESTION, "dataset_ids": ["{dataset}"]}, (THINKING,)),
    "ask-empty": (ASK, {"question": UNKNOWN, "dataset_ids": ["{dataset}"]}, ()),
    "ask-failure": (ASK, {"question": QUESTION, "dataset_ids": ["{dataset}"]}, (BUSY,)),
    "chatbot": (CHATBOT, within(quote=True), (NORD,)),
    "chatbot-without-quote": (CHATBOT, within(), (NORD,)),
    "chatbot-opener": (CHATBOT, {"question": ""}, ()),
    "chatbot-failure": (CHATBOT, within(), (BUSY,)),
    "searchbot": (SEARCHBOT, {"question": QUESTION, "kb_ids": ["{dataset}"]}, (NORD,)),
    "searchbot-empty": (SEARCHBOT, {"question": UNKNOWN, "kb_ids": ["{dataset}"]}, ()),
    "searchbot-refused": (SEARCHBOT, {"question": QUESTION, "kb_ids": ["{chat}"]}, ()),
}


@pytest.fixture
def names(api, provider, settings, fill, run_tasks, create_chat, new_session) -> dict[str, str]:
    """The ids that requests name."""
    dataset = fill(api, BRIDGE, LIGHTHOUSE)
    tables = api.create_dataset("tables", chunk_method="table")["id"]
    (document,) = api.upload(tables, ("products.csv", ROWS))
    api.call("POST", f"/api/v1/datasets/{tables}/chunks", {"document_ids": [document["id"]]})
    run_tasks()
    prompt = {"prompt": "Use this: {knowledge}", "similarity_threshold": 0.3}
    settings.TAVILY_URL = provider.url
    chats = {
        "chat": create_chat("golden", dataset_ids=[dataset], prompt=prompt)["id"],
        "tables": create_chat("tables", dataset_ids=[tables])["id"],
        "spoken": create_chat("spoken", dataset_ids=[dataset], prompt=prompt | {"tts": True})["id"],
        "web": create_chat("web", dataset_ids=[dataset], prompt=prompt | {"tavily_api_key": "k"})["id"],
        "solo": create_chat("solo", prompt={"prompt": "Be kind.", "variables": []})["id"],
    }
    sessions = {f"{name}_session": new_session(chat) for name, chat in chats.items()}
    return {"dataset": dataset, "document": document["id"], **chats, **sessions, "session": sessions["chat_session"]}


def filled_in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], value)
    if isinstance(value, list):
        return [filled_in(item, names) for item in value]
    return {key: filled_in(item, names) for key, item in value.items()} if isinstance(value, dict) else value


def readable(body: bytes, names: dict[str, str]) -> str:
    """Return a stream with names for what differs from run to run; nothing else is changed."""
    text = body.decode()
    for name, id_ in names.items():
        text = text.replace(id_, f"<{name}>")
    replacements: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
        (r'"(created(?:_at)?)":[\d.]+', r'"\1":<time>'),
        (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<message>"),
        (r"\b[0-9a-f]{32}\b", "<id>"),
        (r'"[0-9a-f]{16}"', '"<chunk>"'),
        (r"127\.0\.0\.1:\d+", "<provider>"),
        (r'("(?:vector_|term_)?similarity":)(\d\.\d+)', lambda match: f"{match[1]}{float(match[2]):.2f}"),
    ]
    for pattern, replacement in replacements:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("name", STREAMS)
def test_transcript(asgi, page, provider, names, name):
    path, body, replies = STREAMS[name]
    provider.reset()
    provider.script(*replies)
    client = page if "bot" in name else asgi
    reply = client.ask(filled_in(path, names), filled_in(body, names))
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8", reply.body
    told = readable(reply.body, names)
    file = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_TRANSCRIPTS"):
        file.write_text(told)
    assert told == file.read_text()


def test_every_transcript_belongs_to_a_stream():
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(STREAMS)
