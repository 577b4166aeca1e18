"""The scripted provider driven from another process, as load tests do it."""

import httpx2

from tests.tools.model_server import ModelServer


def test_it_can_be_scripted_and_read_over_http(server: ModelServer) -> None:
    root = server.url.removesuffix("/v1")
    question = {"messages": [{"role": "user", "content": "hi"}]}
    with httpx2.Client(trust_env=False) as client:
        assert client.post(f"{root}/script", json=[{"text": "An oven."}, {"status": 500}]).json() == {"queued": 2}
        answer = client.post(f"{server.url}/chat/completions", json=question).json()
        assert answer["choices"][0]["message"]["content"] == "An oven."
        assert client.post(f"{server.url}/chat/completions", json=question).status_code == 500
        (first, second) = client.get(f"{root}/exchanges").json()["exchanges"]
        assert (first["path"], first["body"], second["ended"]) == ("/v1/chat/completions", question, True)
        client.post(f"{root}/reset")
        assert client.get(f"{root}/exchanges").json()["exchanges"] == []
        assert client.get(f"{server.url}/unknown").status_code == 404
