"""Addresses that tenants chose: nothing within the server's own network is reached."""

import socket
from typing import Any

import pytest

from ragflow.engine import guard
from ragflow.engine.errors import ModelError
from ragflow.engine.guard import is_public
from ragflow.engine.http import Endpoint, apost_json, post_json
from ragflow.engine.llm.complete import complete
from ragflow.engine.llm.openai import OpenAIChatModel
from ragflow.engine.registry import ModelSettings, Registry, RemoteModel
from ragflow.engine.types import Message
from tests.tools.model_server import ModelServer, Reply

REFUSED = "RAGFLOW_PRIVATE_MODEL_HOSTS"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "ff02::1", "fec0::1", "::127.0.0.1",
        "::ffff:0:127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_of_a_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


def guarded(server: ModelServer, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(f"http://{host}:{server.port}/v1", "key", guarded=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433"])
async def test_no_way_leads_to_a_private_address(server: ModelServer, host: str) -> None:
    endpoint = guarded(server, host)
    with pytest.raises(ModelError, match=REFUSED) as caught:
        await apost_json(endpoint, "embeddings", {}, kind="embedding", read_timeout=5, patience=5)
    assert caught.value.code == "INVALID_REQUEST"
    model = OpenAIChatModel("any", endpoint.base_url, "key", name="any@Somewhere", guarded=True)
    with pytest.raises(ModelError, match=f"{REFUSED}|not a canonical IPv4") as caught:
        await complete(model, [Message("user", "Hello")])
    assert caught.value.code == "INVALID_REQUEST"
    assert server.connections == 0


def test_threads_are_guarded_too(server: ModelServer) -> None:
    with pytest.raises(ModelError, match=REFUSED):
        post_json(guarded(server), "embeddings", {}, kind="embedding", read_timeout=5, patience=5)
    assert server.connections == 0


async def test_one_private_address_among_public_ones_is_enough(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_addresses(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("1.1.1.1", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with pytest.raises(ModelError, match=REFUSED):
        await apost_json(
            guarded(server, "both.example"), "embeddings", {}, kind="embedding", read_timeout=5, patience=5
        )
    with pytest.raises(ModelError, match=REFUSED):
        post_json(guarded(server, "both.example"), "embeddings", {}, kind="embedding", read_timeout=5, patience=5)
    model = OpenAIChatModel("any", guarded(server, "both.example").base_url, "key", name="any@Both", guarded=True)
    with pytest.raises(ModelError, match=REFUSED):
        await complete(model, [Message("user", "Hello")])
    assert server.connections == 0


@pytest.fixture
def _everything_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "is_public", lambda _address: True)


@pytest.mark.usefixtures("_everything_is_public")
async def test_public_addresses_are_reached(server: ModelServer) -> None:
    body = {"input": ["clay"]}
    for _ in range(2):
        assert (
            await apost_json(
                guarded(server, "localhost"), "embeddings", body, kind="embedding", read_timeout=5, patience=0
            )
        )["data"]
        assert post_json(guarded(server), "embeddings", body, kind="embedding", read_timeout=5, patience=0)["data"]
    model = OpenAIChatModel("any", guarded(server).base_url, "key", name="any@Somewhere", guarded=True)
    server.script(Reply(text="An oven.", endpoint="chat"))
    assert (await complete(model, [Message("user", "What is a kiln?")])).text == "An oven."
    assert {exchange.headers["accept-encoding"] for exchange in server.exchanges} == {"identity"}


@pytest.mark.usefixtures("_everything_is_public")
@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (Reply(raw="[" + "1," * 5000 + "1]"), "more than the 1000 bytes"),
        (Reply(raw="{}", headers={"Content-Encoding": "gzip"}), "compressed its answer"),
    ],
)
async def test_answers_are_bounded(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, reply: Reply, what: str
) -> None:
    monkeypatch.setattr(guard, "LONGEST_ANSWER", 1000)
    server.script(reply, reply)
    with pytest.raises(ModelError, match=what):
        await apost_json(guarded(server), "embeddings", {}, kind="embedding", read_timeout=5, patience=0)
    with pytest.raises(ModelError, match=what):
        post_json(guarded(server), "embeddings", {}, kind="embedding", read_timeout=5, patience=0)
    model = OpenAIChatModel("any", guarded(server).base_url, "key", name="any@Somewhere", guarded=True)
    server.script(reply)
    with pytest.raises(ModelError, match=what):
        await complete(model, [Message("user", "What is a kiln?")])


def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    server.script(Reply(status=307, headers={"Location": f"{server.url}/embeddings"}))
    with pytest.raises(ModelError):
        post_json(
            Endpoint(server.url, "key"), "embeddings", {"input": []}, kind="embedding", read_timeout=5, patience=0
        )
    assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    ("hosts", "trusted", "expected"),
    [
        ((), False, True),
        ((), True, False),
        (("127.0.0.1",), False, False),
        (("127.0.0.1:9",), False, False),
        (("127.0.0.1:8",), False, True),
        (("localhost",), False, True),
        (("*",), False, False),
    ],
)
def test_the_operator_says_which_private_hosts_tenants_may_name(
    hosts: tuple[str, ...], trusted: bool, expected: bool
) -> None:
    registry = Registry(ModelSettings(private_hosts=frozenset(hosts)))
    target = RemoteModel("m@Ollama", "m", "http://127.0.0.1:9/v1", trusted=trusted)
    assert registry.is_guarded(target) is expected
    assert registry.embedder(target)._endpoint.guarded is expected
    assert registry.chat_model(target)._endpoint.guarded is expected
    assert registry.reranker(target)._endpoint.guarded is expected
    assert registry.speech_to_text(target)._endpoint.guarded is expected
    assert registry.text_to_speech(target)._endpoint.guarded is expected


@pytest.mark.parametrize("url", ["http://models.example.com:99999/v1", "http://[::1/v1"])
def test_an_address_that_is_none_is_refused_with_a_sentence(url: str) -> None:
    registry = Registry(ModelSettings(private_hosts=frozenset({"models.example.com"})))
    with pytest.raises(ModelError, match="base URL of the model provider"):
        registry.chat_model(RemoteModel("m@Ollama", "m", url, trusted=False))
