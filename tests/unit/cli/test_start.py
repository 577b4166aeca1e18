"""Options, logins, the prompt and what it remembers."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ragflow.cli import main as cli
from ragflow.cli import passwords, shell
from ragflow.cli.client import Client
from ragflow.cli.errors import CommandFailed
from ragflow.cli.grammar import Mode
from tests.unit.cli.conftest import Server, ok

GOOD = httpx2.Response(200, json={"code": 0, "message": "Welcome back!"}, headers={"Authorization": "token"})
LOGIN = "POST /v1/user/login"
ADMIN_LOGIN = "POST /api/v1/admin/login"


@pytest.fixture
def start(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs the client and returns its exit status and lines."""

    def mocked(*args, **options):
        return Client(*args, **options | {"transport": httpx2.MockTransport(server)})

    monkeypatch.setattr(cli, "Client", mocked)

    def run(*arguments: str) -> tuple[int, list[str]]:
        status = cli.main(arguments)
        return status, capsys.readouterr().out.splitlines()

    return run


def decrypting_server(server: Server) -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    server.answers["GET /v1/system/public_key"] = ok({"public_key": pem})
    return key


@pytest.mark.parametrize(
    "arguments",
    [
        ["-x"],
        ["-p", "ten"],
        ["-p", "0"],
        ["-t", "other"],
        ["list", "users;"],
        ["command"],
        ["-c", "ping", "command", "ping"],
        ["-h"],
        ["-h", "[::1"],
    ],
)
def test_wrong_options(start, server, arguments):
    assert start(*arguments) == (0, ["Error: Invalid connection arguments"])
    assert server.requests == []


def test_defaults_are_those_of_the_administrator(start, server):
    server.answers |= {ADMIN_LOGIN: GOOD, "GET /api/v1/admin/users": ok([])}
    assert start("command", "list", "users") == (0, ["No data to print"])
    assert str(server.requests[0].url).startswith("http://127.0.0.1:9381/")
    assert server.calls[1][1]["email"] == "admin@ragflow.io"
    assert server.requests[-1].headers["authorization"] == "token"


def test_the_servers_key_is_used_where_it_offers_one(start, server):
    key = decrypting_server(server)
    server.answers |= {LOGIN: GOOD, "POST /v1/dialog/next": ok({"dialogs": []})}
    start("-t", "user", "-p", "9380", "-u", "a@b.c", "-w", "sécret", "command", "list chats")
    sent = next(body for call, body in server.calls if call == LOGIN)
    assert base64.b64decode(key.decrypt(base64.b64decode(sent["password"]), padding.PKCS1v15())).decode() == "sécret"


def test_the_usual_key_is_the_published_one():
    key = serialization.load_pem_public_key(passwords.DEFAULT_KEY.encode())
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    assert digest.finalize().hex() == "7e107c0b2cde8fb0f60a43fcc37a286a4f5947d6bd20d91b5a4deacdeead23f7"


def test_a_chosen_key_keeps_the_server_from_being_asked(start, server, tmp_path):
    (tmp_path / "key.pem").write_text(passwords.DEFAULT_KEY)
    server.answers |= {LOGIN: GOOD}
    start("--key", str(tmp_path / "key.pem"), "-t", "user", "-u", "u", "command", "ping")
    assert [call for call, _ in server.calls] == [LOGIN, "GET /v1/system/ping"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"no key"])
def test_keys_that_are_none(start, tmp_path, content):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    status, lines = start("--key", str(path), "-t", "user", "-u", "u", "-c", "ping")
    assert status in {1, 2}
    assert "key" in lines[0]


def test_passwords_that_do_not_fit():
    assert passwords.encrypted("x" * 183, passwords.DEFAULT_KEY)
    with pytest.raises(CommandFailed, match="at most 183 bytes"):
        passwords.encrypted("x" * 184, passwords.DEFAULT_KEY)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx2.Response(200, json={"code": 109, "message": "wrong"}), "Login failed: wrong"),
        (httpx2.Response(502, text="<html>"), "Login failed: invalid JSON response (HTTP status 502)"),
        (httpx2.Response(200, json={"code": 0}), "Login failed: missing Authorization header"),
        (httpx2.ConnectError("refused"), "Can't reach the server at http://127.0.0.1:9381: refused"),
    ],
)
def test_failing_logins(start, server, answer, said):
    server.answers |= {ADMIN_LOGIN: answer}
    expected = [said, "Can't access server for login (connection failed)"]
    assert start("command", "list users;") == (0, expected)
    assert start("-c", "list users;") == (1, expected)


@pytest.mark.parametrize("arguments", [["-c", ""], ["command", ""], ["command", " ", ""]])
def test_an_empty_statement_is_none_and_asks_for_no_password(start, server, arguments):
    assert start(*arguments)[1][0].startswith("Error: Parse error: unexpected ';'")
    assert server.requests == []


def test_user_mode_needs_a_name_except_for_registering(start, server):
    assert start("-t", "user", "command", "list chats") == (
        0,
        ["Error: username (-u) is required in user mode", "Error: Invalid connection arguments"],
    )
    assert server.requests == []
    server.answers |= {"POST /v1/user/register": ok({"id": "u"})}
    _, lines = start("-t", "user", "command", "register user 'e@x.org' as 'n' password 'p'")
    assert lines[0] == "Register user: n, email: e@x.org, password: ******"
    assert LOGIN not in [call for call, _ in server.calls]


@pytest.mark.parametrize(
    ("line", "status"), [("list users;", 0), ("list users", 0), ("list datasets", 1), ("nonsense", 2)]
)
def test_exit_statuses(start, server, line, status):
    server.answers |= {ADMIN_LOGIN: GOOD, "GET /api/v1/admin/users": ok([])}
    assert start("-c", line)[0] == status
    assert start("command", line)[0] == 0


class Typist:
    """What a person types, and what is asked of the person."""

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self.lines: Iterator[str | type[BaseException]] = iter(lines)
        self.remembered: list[str] = []

    def read(self, prompt: str) -> str:
        assert prompt == "ragflow> "
        line = next(self.lines, EOFError)
        if isinstance(line, str):
            return line
        raise line


@pytest.fixture
def talk(connect):
    def run(*lines, mode=Mode.USER, **answers):
        session, typist = connect(mode, **answers), Typist(*lines)
        shell.converse(session.context, read=typist.read, remember=typist.remembered.append)
        assert session.lines[-1] == shell.REMINDER
        return session.lines[len(shell.BANNER) : -1], typist.remembered

    return run


def test_the_prompt(talk):
    lines, remembered = talk("", "  ", "nonsense;", KeyboardInterrupt, r"\x a b", r"\Q", "list chats;")
    assert lines[0] == r'Type "\h" for help.'
    assert lines[1].startswith("Error: Parse error: unexpected 'nonsense' at column 1; expected ")
    assert lines[2:] == [r"Use '\q' to quit", "Meta command 'x' with args ['a', 'b']", "Goodbye!"]
    assert remembered == ["nonsense;", r"\x a b", r"\Q"]


def test_the_end_of_input(talk):
    assert talk()[0][1:] == ["Goodbye!"]


@pytest.mark.parametrize("meta", [r"\?", r"\H", r"\help"])
def test_help(talk, meta):
    assert "LIST DATASETS;" in talk(meta)[0][1]


def test_an_interrupted_statement_does_not_end_the_prompt(talk):
    lines, _ = talk("list chats;", "ping;", **{"POST /v1/dialog/next": KeyboardInterrupt()})
    assert lines[1:] == [r"Interrupted. Use '\q' to quit", "Server is down", "Goodbye!"]


@pytest.mark.parametrize(
    "line",
    [
        "create user 'u' 'hidden';",
        "create user 'u' 'hidden'",
        "alter user pasword 'u' 'hidden';",
        "create model provider 'f' 'hidden';",
        "register user 'e' as 'n' password 'hidden';",
        "drop key 'hidden' of 'u';",
    ],
)
def test_secrets_are_not_remembered(talk, line):
    assert talk(line, "list chats;")[1] == ["list chats;"]


def test_logging_in_at_the_prompt(talk, server):
    pong = httpx2.Response(200, text="pong")
    lines, _ = talk("login user 'a@b.c';", "list chats;", **{LOGIN: GOOD, "GET /v1/system/ping": pong})
    assert lines[1] == "Login user a@b.c successfully"
    assert server.requests[-1].headers["authorization"] == "token"


def test_three_attempts(start, server, monkeypatch):
    prompts = []
    monkeypatch.setattr(cli.getpass, "getpass", lambda prompt: prompts.append(prompt) or "x")
    server.answers |= {LOGIN: httpx2.Response(200, json={"code": 109, "message": "wrong"})}
    status, lines = start("-t", "user", "-u", "u")
    assert prompts == ["password for u: "] * 3
    assert lines.count("Login failed: wrong") == 3
    assert status == 0
