"""What each statement asks of a server and prints."""

from __future__ import annotations

import base64
import re
import signal
import threading
import time

import httpx2
import pytest

from ragflow.cli.benchmark import benchmark
from ragflow.cli.grammar import Mode, Rule, Statement
from tests.unit.cli.conftest import ok

KBS = ok({"kbs": [{"id": "k1", "name": "n"}, {"id": "k2", "name": "n"}, {"id": "k3", "name": "m"}], "total": 3})
LOOK_UP = ("POST /v1/kb/list", None)
DOCS = "POST /v1/document/list?kb_id=k2"
ADMIN = "/api/v1/admin"
ENCRYPTED = object()


def row(**fields):
    """The table of one row."""
    from ragflow.cli.table import table

    return table(fields)


def one(name="x"):
    return ok([{"name": name}])


def docs(*states):
    rows = [{"id": f"d{number}", "name": f"{number}.txt", "run": run} for number, run in enumerate(states, 1)]
    return ok({"docs": rows, "total": len(rows)})


def _line(value):
    return value if isinstance(value, str) else ""


def matches(sent, expected):
    if isinstance(expected, dict):
        return sent.keys() == expected.keys() and all(matches(sent[key], value) for key, value in expected.items())
    return len(base64.b64decode(sent)) == 256 if expected is ENCRYPTED else sent == expected


TENANT = {name: f"t-{name}" for name in ("tenant_id", "llm_id", "embd_id", "img2txt_id", "asr_id", "tts_id")}

# line, answers, requests, printed
USER = [
    (
        "PING;",
        {"GET /v1/system/ping": httpx2.Response(200, text="pong")},
        [("GET /v1/system/ping", None)],
        ["Server is alive"],
    ),
    ("SHOW VERSION;", {"GET /v1/system/version": ok("v1")}, [("GET /v1/system/version", None)], [row(version="v1")]),
    (
        "REGISTER USER 'e' AS 'nick' PASSWORD 'p';",
        {"POST /v1/user/register": ok({"id": "u"})},
        [("POST /v1/user/register", {"email": "e", "nickname": "nick", "password": ENCRYPTED})],
        ["Register user: nick, email: e, password: ******", row(id="u")],
    ),
    (
        "SHOW CURRENT USER;",
        {"GET /v1/user/info": ok({"id": "u", "avatar": "x"})},
        [("GET /v1/user/info", None)],
        [row(id="u")],
    ),
    (
        "CREATE MODEL PROVIDER 'f' 'k';",
        {"POST /v1/llm/set_api_key": ok(True)},
        [("POST /v1/llm/set_api_key", {"api_key": "k", "llm_factory": "f"})],
        ["Success to add model provider f"],
    ),
    (
        "DROP MODEL PROVIDER 'f';",
        {"POST /v1/llm/delete_factory": ok(True)},
        [("POST /v1/llm/delete_factory", {"llm_factory": "f"})],
        ["Success to drop model provider f"],
    ),
    (
        "LIST MODEL PROVIDERS;",
        {"GET /v1/llm/my_llms": ok({"f": {"llm": []}})},
        [("GET /v1/llm/my_llms", None)],
        [row(**{"model provider": "f", "models": {"llm": []}})],
    ),
    (
        "SET DEFAULT RERANKER 'm';",
        {"GET /v1/user/tenant_info": ok(TENANT), "POST /v1/user/set_tenant_info": ok(True)},
        [("GET /v1/user/tenant_info", None), ("POST /v1/user/set_tenant_info", TENANT | {"rerank_id": "m"})],
        ["Success to set default llm to rerank_id"],
    ),
    (
        "RESET DEFAULT VLM;",
        {"GET /v1/user/tenant_info": ok(TENANT), "POST /v1/user/set_tenant_info": ok(True)},
        [("GET /v1/user/tenant_info", None), ("POST /v1/user/set_tenant_info", TENANT | {"img2txt_id": ""})],
        ["Success to set default llm to img2txt_id"],
    ),
    (
        "LIST DEFAULT MODELS;",
        {"GET /v1/user/tenant_info": ok({"llm_id": "m", "tts_id": None, "asr_id": ""})},
        [("GET /v1/user/tenant_info", None)],
        [row(model_category="LLM", model_name="m")],
    ),
    ("LIST DATASETS;", {}, [LOOK_UP], None),
    (
        "CREATE DATASET 'n' WITH EMBEDDING 'e' PARSER 'p';",
        {"POST /v1/kb/create": ok({"kb_id": "k"})},
        [("POST /v1/kb/create", {"name": "n", "embd_id": "e", "parser_id": "p"})],
        [row(kb_id="k")],
    ),
    (
        "CREATE DATASET 'n' WITH EMBEDDING 'e' PIPELINE 'p';",
        {"POST /v1/kb/create": ok({"kb_id": "k"})},
        [("POST /v1/kb/create", {"name": "n", "embd_id": "e", "pipeline_id": "p"})],
        [row(kb_id="k")],
    ),
    (
        "DROP DATASET 'n';",
        {"POST /v1/kb/rm": ok(True)},
        [LOOK_UP, ("POST /v1/kb/rm", {"kb_id": "k2"})],
        ["Drop dataset n successfully"],
    ),
    ("DROP DATASET 'other';", {}, [LOOK_UP], ["Dataset other not found"]),
    ("LIST FILES OF DATASET 'n';", {DOCS: docs("3")}, [LOOK_UP, (DOCS, None)], [row(id="d1", name="1.txt", run="3")]),
    (
        "PARSE '1.txt,x.txt' OF DATASET 'n';",
        {DOCS: docs("0", "0"), "POST /v1/document/run": ok(True)},
        [LOOK_UP, (DOCS, None), ("POST /v1/document/run", {"doc_ids": ["d1"], "run": 1})],
        ["Documents ['x.txt'] not found in n", "Success to parse ['1.txt'] of n"],
    ),
    ("PARSE 'x.txt' OF DATASET 'n';", {DOCS: docs("0")}, [LOOK_UP, (DOCS, None)], ["No documents found in n"]),
    (
        "PARSE DATASET 'n' ASYNC;",
        {DOCS: docs("0", "0"), "POST /v1/document/run": ok(True)},
        [LOOK_UP, (DOCS, None), ("POST /v1/document/run", {"doc_ids": ["d1", "d2"], "run": 1})],
        ["Success to start parse dataset n"],
    ),
    (
        "SEARCH 'q' ON DATASETS 'n m';",
        {"POST /v1/chunk/retrieval_test": ok({"chunks": [{"chunk_id": "c"}]})},
        [
            LOOK_UP,
            LOOK_UP,
            (
                "POST /v1/chunk/retrieval_test",
                {"question": "q", "kb_id": ["k2", "k3"], "similarity_threshold": 0.2, "vector_similarity_weight": 0.3},
            ),
        ],
        [row(chunk_id="c")],
    ),
    (
        "LIST AGENTS;",
        {"GET /v1/canvas/list": ok({"canvas": [], "total": 0})},
        [("GET /v1/canvas/list", None)],
        ["No data to print"],
    ),
    (
        "LIST CHATS;",
        {"POST /v1/dialog/next": ok({"dialogs": [{"id": "c"}]})},
        [("POST /v1/dialog/next", None)],
        [row(id="c")],
    ),
    (
        "DROP CHAT 'c';",
        {
            "POST /v1/dialog/next": ok(
                {"dialogs": [{"id": "1", "name": "c"}, {"id": "2", "name": "d"}, {"id": "3", "name": "c"}]}
            ),
            "POST /v1/dialog/rm": ok(True),
        },
        [("POST /v1/dialog/next", None), ("POST /v1/dialog/rm", {"dialog_ids": ["1", "3"]})],
        ["Success to drop chat: c"],
    ),
    (
        "DROP CHAT 'c';",
        {"POST /v1/dialog/next": ok({"dialogs": []})},
        [("POST /v1/dialog/next", None)],
        ["Chat c not found"],
    ),
]

ADMIN_CASES = [
    ("SHOW VERSION;", "GET /version", None, ok({"version": "v1"}), [row(version="v1")], "Fail to show version"),
    ("LIST SERVICES;", "GET /services", None, one(), [row(name="x")], "Fail to get all services"),
    ("LIST USERS;", "GET /users", None, one(), [row(name="x")], "Fail to get all users"),
    (
        "SHOW USER 'a@b.c';",
        "GET /users/a@b.c",
        None,
        ok([{"a": 1, "avatar": "x"}, {"a": 2}]),
        ["Showing user: a@b.c", row(a=1)],
        "Fail to get user a@b.c",
    ),
    ("SHOW USER 'u';", "GET /users/u", None, ok([]), ["Showing user: u", "No data to print"], "Fail to get user u"),
    (
        "CREATE USER 'u' 'p';",
        "POST /users",
        {"username": "u", "password": ENCRYPTED, "role": "user"},
        ok({"id": "1"}),
        ["Create user: u, password: ******, role: user", row(id="1")],
        "Fail to create user u",
    ),
    ("DROP USER 'u';", "DELETE /users/u", None, ok(message="gone"), ["Drop user: u", "gone"], "Fail to drop user"),
    (
        "ALTER USER PASSWORD 'u' 'p';",
        "PUT /users/u/password",
        {"new_password": ENCRYPTED},
        ok(message="done"),
        ["Alter user: u, password: ******", "done"],
        "Fail to alter password",
    ),
    (
        "ALTER USER ACTIVE 'u' ON;",
        "PUT /users/u/activate",
        {"activate_status": "on"},
        ok(message="done"),
        ["Alter user u activate status, turn on.", "done"],
        "Fail to alter activate status",
    ),
    (
        "GRANT ADMIN 'u';",
        "PUT /users/u/admin",
        None,
        ok(message="done"),
        ["done"],
        "Fail to grant u admin authorization",
    ),
    (
        "REVOKE ADMIN 'u';",
        "DELETE /users/u/admin",
        None,
        ok(message="done"),
        ["done"],
        "Fail to revoke u admin authorization",
    ),
    (
        "LIST DATASETS OF 'u';",
        "GET /users/u/datasets",
        None,
        ok([{"a": 1, "avatar": "x"}]),
        ["Listing all datasets of user: u", row(a=1)],
        "Fail to get all datasets of u",
    ),
    (
        "LIST AGENTS OF 'u';",
        "GET /users/u/agents",
        None,
        ok([]),
        ["Listing all agents of user: u", "No data to print"],
        "Fail to get all agents of u",
    ),
    (
        "GENERATE KEY FOR USER 'u';",
        "POST /users/u/keys",
        None,
        one(),
        ["Generating API key for user: u", row(name="x")],
        "Failed to generate key for user u",
    ),
    (
        "LIST KEYS OF 'u';",
        "GET /users/u/keys",
        None,
        one(),
        ["Listing API keys for user: u", row(name="x")],
        "Failed to list keys for user u",
    ),
    (
        "DROP KEY 'a/b' OF 'u';",
        "DELETE /users/u/keys/a%2Fb",
        None,
        ok(message="done"),
        ["Dropping API key for user: u", "done"],
        "Failed to drop key for user u",
    ),
    ("LIST ROLES;", "GET /roles", None, one(), [row(name="x")], "Fail to list roles"),
    ("SHOW ROLE r;", "GET /roles/r/permission", None, one(), ["show role: r", row(name="x")], "Fail to list roles"),
    (
        "CREATE ROLE r;",
        "POST /roles",
        {"role_name": "r", "description": ""},
        one(),
        ["create role name: r, description: ", row(name="x")],
        "Fail to create role r",
    ),
    (
        "CREATE ROLE r DESCRIPTION 'd';",
        "POST /roles",
        {"role_name": "r", "description": "d"},
        one(),
        ["create role name: r, description: d", row(name="x")],
        "Fail to create role r",
    ),
    ("DROP ROLE r;", "DELETE /roles/r", None, one(), ["drop role name: r", row(name="x")], "Fail to drop role r"),
    (
        "ALTER ROLE r SET DESCRIPTION 'd';",
        "PUT /roles/r",
        {"description": "d"},
        one(),
        ["alter role name: r, description: d", row(name="x")],
        "Fail to update role r with description: d",
    ),
    (
        "GRANT a,b ON x TO ROLE r;",
        "POST /roles/r/permission",
        {"actions": ["a", "b"], "resource": "x"},
        one(),
        ["grant role_name: r, resource: x, actions: ['a', 'b']", row(name="x")],
        "Fail to grant role r with ['a', 'b'] on x",
    ),
    (
        "REVOKE a ON x FROM ROLE r;",
        "DELETE /roles/r/permission",
        {"actions": ["a"], "resource": "x"},
        one(),
        ["revoke role_name: r, resource: x, actions: ['a']", row(name="x")],
        "Fail to revoke role r with ['a'] on x",
    ),
    (
        "ALTER USER 'u' SET ROLE r;",
        "PUT /users/u/role",
        {"role_name": "r"},
        one(),
        ["alter_user_role user_name: u, role_name: r", row(name="x")],
        "Fail to alter user: u to role r",
    ),
    (
        "SHOW USER PERMISSION 'u';",
        "GET /users/u/permission",
        None,
        one(),
        ["show_user_permission user_name: u", row(name="x")],
        "Fail to show user: u permission",
    ),
    (
        "SET VAR n v;",
        "PUT /variables",
        {"var_name": "n", "var_value": "v"},
        ok(message="done"),
        ["done"],
        "Fail to set variable n to v",
    ),
    ("SHOW VAR n;", "GET /variables", {"var_name": "n"}, one(), [row(name="x")], "Fail to get variable n"),
    ("LIST VARS;", "GET /variables", None, one(), [row(name="x")], "Fail to list variables"),
    ("LIST CONFIGS;", "GET /configs", None, one(), [row(name="x")], "Fail to list variables"),
    ("LIST ENVS;", "GET /environments", None, one(), [row(name="x")], "Fail to list variables"),
]


@pytest.mark.parametrize(("line", "answers", "requests", "printed"), USER, ids=_line)
def test_user_mode(connect, server, line, answers, requests, printed):
    lines = connect(**({"POST /v1/kb/list": KBS} | answers)).run(line)
    assert [call for call, _ in server.calls] == [call for call, _ in requests]
    assert all(matches(sent, wanted) for (_, sent), (_, wanted) in zip(server.calls, requests, strict=True))
    assert all(request.headers.get("authorization") == "session" for request in server.requests)
    assert printed is None or lines == printed


@pytest.mark.parametrize(("line", "call", "body", "answer", "printed", "failure"), ADMIN_CASES, ids=_line)
def test_admin_mode(connect, server, line, call, body, answer, printed, failure):
    method, path = call.split()
    call = f"{method} {ADMIN}{path}"
    assert connect(Mode.ADMIN, **{call: answer}).run(line) == printed
    ((made, sent),) = server.calls
    assert made == call
    assert matches(sent, body)
    refused = httpx2.Response(400, json={"code": 7, "message": "no", "data": None})
    assert connect(Mode.ADMIN, **{call: refused}).run(line)[-1] == f"{failure}, code: 7, message: no"
    web_page = httpx2.Response(401, text="<!doctype html>")
    shown = connect(Mode.ADMIN, **{call: web_page}).run(line)
    assert shown == [f"{failure}, code: 401, message: the server's answer is not JSON"]


@pytest.mark.parametrize(
    ("line", "failing", "failure"),
    [
        ("SHOW VERSION;", "GET /v1/system/version", "Fail to show version"),
        ("REGISTER USER 'e' AS 'n' PASSWORD 'p';", "POST /v1/user/register", "Fail to register user e"),
        ("CREATE MODEL PROVIDER 'f' 'k';", "POST /v1/llm/set_api_key", "Fail to add model provider f"),
        ("DROP MODEL PROVIDER 'f';", "POST /v1/llm/delete_factory", "Fail to drop model provider f"),
        ("LIST MODEL PROVIDERS;", "GET /v1/llm/my_llms", "Fail to list model provider"),
        ("SET DEFAULT TTS 'm';", "GET /v1/user/tenant_info", "Fail to set default llm to tts_id"),
        ("LIST DEFAULT MODELS;", "GET /v1/user/tenant_info", "Fail to list user default models"),
        ("LIST DATASETS;", "POST /v1/kb/list", "Fail to list datasets"),
        ("CREATE DATASET 'n' WITH EMBEDDING 'e' PARSER 'p';", "POST /v1/kb/create", "Fail to create datasets"),
        ("DROP DATASET 'n';", "POST /v1/kb/rm", "Fail to drop datasets"),
        ("LIST FILES OF DATASET 'n';", DOCS, "Fail to list files from dataset n"),
        ("PARSE '1.txt' OF DATASET 'n';", "POST /v1/document/run", "Fail to parse documents ['1.txt']"),
        ("PARSE DATASET 'n' ASYNC;", "POST /v1/document/run", "Fail to parse dataset n"),
        ("SEARCH 'q' ON DATASETS 'n';", "POST /v1/chunk/retrieval_test", "Fail to search datasets: ['n']"),
        ("LIST AGENTS;", "GET /v1/canvas/list", "Fail to list datasets"),
        ("LIST CHATS;", "POST /v1/dialog/next", "Fail to list datasets"),
        ("CREATE CHAT 'n';", "POST /v1/dialog/set", "Fail to create chat n"),
        ("DROP CHAT 'n';", "POST /v1/dialog/next", "Fail to drop chat n"),
    ],
)
@pytest.mark.parametrize("status", [200, 404])
def test_failures_of_user_mode(connect, line, failing, failure, status):
    refused = httpx2.Response(status, json={"code": 102, "message": "no"})
    session = connect(**({"POST /v1/kb/list": KBS, DOCS: docs("0")} | {failing: refused}))
    assert session.run(line) == [f"{failure}, code: 102, message: no"]
    assert not session.succeeded


def test_a_chat_is_created_with_a_prompt_that_takes_knowledge(connect, server):
    assert connect(**{"POST /v1/dialog/set": ok({})}).run("CREATE CHAT 'n';") == ["Success to create chat: n"]
    ((_, body),) = server.calls
    assert body["name"] == "n"
    assert (body["top_n"], body["similarity_threshold"], body["language"]) == (8, 0.2, "English")
    assert "{knowledge}" in body["prompt_config"]["system"]
    assert body["prompt_config"]["parameters"] == [{"key": "knowledge", "optional": False}]


def test_importing(connect, server, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"text of {name}")
    session = connect(**{"POST /v1/kb/list": KBS, "POST /v1/document/upload": ok([])})
    lines = session.run(f"IMPORT '{tmp_path}/a.txt {tmp_path}/b.txt' INTO DATASET 'n';")
    assert lines == ["Success to import documents into dataset n"]
    form = server.requests[-1].content.decode()
    assert re.findall(r'name="(\w+)"(?:; filename="([^"]+)")?', form) == [
        ("file", "a.txt"),
        ("file", "b.txt"),
        ("kb_id", ""),
    ]
    assert "text of b.txt" in form
    assert "\r\n\r\nk2\r\n" in form


def test_importing_what_is_not_there(connect, server):
    session = connect(**{"POST /v1/kb/list": KBS})
    (line,) = session.run("IMPORT '/nowhere/a.txt' INTO DATASET 'n';")
    assert line.startswith("Fail to import document into dataset: n, error: ")
    assert [call for call, _ in server.calls] == ["POST /v1/kb/list"]


def test_importing_what_the_server_refuses(connect, tmp_path):
    (tmp_path / "a.exe").write_text("x")
    refused = httpx2.Response(200, json={"code": 500, "message": "a.exe: no", "data": []})
    session = connect(**{"POST /v1/kb/list": KBS, "POST /v1/document/upload": refused})
    lines = session.run(f"IMPORT '{tmp_path}/a.exe' INTO DATASET 'n';")
    assert lines == ["Fail to import documents: code: 500, message: a.exe: no"]


@pytest.mark.parametrize(
    ("rounds", "printed"),
    [
        (
            ["11", "31", "33"],
            [
                "Document 1.txt is not done, status: 1",
                "Document 2.txt is not done, status: 1",
                "Success to parse dataset n",
            ],
        ),
        (
            ["14", "34"],
            [
                "Document 1.txt is not done, status: 1",
                "Document 2.txt is not done, status: 4",
                "Parse dataset n failed for ['2.txt']",
            ],
        ),
        (["11"] * 120, ["Document 1.txt is not done, status: 1"] * 120 + ["Parse dataset n timeout"]),
    ],
    ids=["done", "failed", "timeout"],
)
def test_parsing_and_waiting(connect, rounds, printed):
    listed = [docs("0", "0"), *(docs(*states) for states in rounds)]
    session = connect(**{"POST /v1/kb/list": KBS, DOCS: listed, "POST /v1/document/run": ok(True)})
    assert session.run("PARSE DATASET 'n' SYNC;") == ["Start to parse dataset n, please wait...", *printed]
    assert session.succeeded is ("Success" in printed[-1])


@pytest.mark.parametrize(
    ("service", "printed"),
    [
        ({"status": "alive", "message": None}, ["Service db is alive, "]),
        ({"status": "alive", "message": "5 ms"}, ["Service db is alive, ", "5 ms"]),
        ({"status": "alive", "message": {"a": 1}}, ["Service db is alive, ", row(a=1)]),
        ({"status": "alive", "message": [{"a": 1}]}, ["Service db is alive, ", row(a=1)]),
        (
            {"status": "alive", "message": {"w1": [{"now": "02", "done": 5}, {"now": "01", "done": 4}]}},
            ["Service db is alive, ", row(task_executor_name="w1", now="02", done=5)],
        ),
        ({"status": "alive", "message": {"w1": []}}, ["Service db is alive, ", row(task_executor_name="w1")]),
        ({"status": "timeout", "message": "no answer"}, ["Service db is down, no answer"]),
    ],
)
def test_services(connect, service, printed):
    answer = ok({"service_name": "db"} | service)
    assert connect(Mode.ADMIN, **{f"GET {ADMIN}/services/2": answer}).run("SHOW SERVICE 2;") == printed


@pytest.mark.parametrize("action", ["Startup", "Shutdown", "Restart"])
def test_services_are_not_steered_from_here(connect, server, action):
    assert connect(Mode.ADMIN).run(f"{action} service 1;") == [f"{action} service isn't implemented"]
    assert server.requests == []


def test_an_unknown_word_for_active_is_not_sent(connect, server):
    assert connect(Mode.ADMIN).run("ALTER USER ACTIVE 'u' maybe;") == ["Unknown activate status: maybe."]
    assert server.requests == []


@pytest.mark.parametrize(
    ("mode", "line", "other"),
    [
        (Mode.USER, "LIST USERS;", "ADMIN"),
        (Mode.ADMIN, "LIST DATASETS;", "USER"),
        (Mode.ADMIN, "REGISTER USER 'e' AS 'n' PASSWORD 'p';", "USER"),
        (Mode.ADMIN, "BENCHMARK 1 1 LIST CHATS;", "USER"),
    ],
)
def test_statements_of_the_other_mode_are_not_sent(connect, server, mode, line, other):
    assert connect(mode).run(line) == [f"This command is only allowed in {other} mode"]
    assert server.requests == []


def test_a_server_that_is_not_there(connect):
    session = connect(
        **{"POST /v1/kb/list": httpx2.ConnectError("refused"), "GET /v1/system/ping": httpx2.ConnectError("x")}
    )
    session.run("LIST DATASETS;")
    session.run("PING;")
    assert session.lines == ["Can't reach the server at http://server:9380: refused", "Server is down"]


def test_data_of_another_shape_is_no_crash(connect):
    session = connect(**{"POST /v1/kb/list": ok({"kbs": [{"name": "n"}]})})
    (line,) = session.run("DROP DATASET 'n';")
    assert line.startswith("Error: the server's answer has an unexpected form")


def test_repeating(connect, server):
    session = connect(**{"POST /v1/kb/list": KBS, "POST /v1/chunk/retrieval_test": ok({"chunks": []})})
    command, summary = session.run("BENCHMARK 2 3 SEARCH 'q' ON DATASETS 'n';")
    assert command == (
        "command: {'statement': 'SEARCH ON DATASETS', 'question': 'q', 'datasets': ['n']}, "
        "Concurrency: 2, iterations: 3"
    )
    assert re.fullmatch(r"total duration: \d+\.\d{4}s, QPS: [\d.]+, COMMAND_COUNT: 6, SUCCESS: 6, FAILURE: 0", summary)
    made = [call for call, _ in server.calls]
    assert made.count("POST /v1/chunk/retrieval_test") == 6
    assert made.count("POST /v1/kb/list") == 2  # once per thread


def test_repeating_counts_failures(connect):
    broken = httpx2.Response(500, text="x")
    _, summary = connect(**{"GET /v1/system/ping": broken}).run("BENCHMARK 1 2 PING;")
    assert summary.endswith("COMMAND_COUNT: 2, SUCCESS: 0, FAILURE: 2")


@pytest.mark.parametrize(("concurrency", "complaint"), [(0, "must be greater than 0"), (1001, "must be at most 1000")])
def test_repeating_needs_a_sensible_concurrency(connect, server, concurrency, complaint):
    assert connect().run(f"BENCHMARK {concurrency} 1 PING;") == [f"Concurrency {complaint}"]
    assert server.requests == []


def test_an_interrupted_benchmark_stops(connect):
    """The threads notice it after the request they are at."""
    ran = []

    def interrupt_at_the_tenth(_ctx):
        ran.append(1)
        time.sleep(0.01)
        if len(ran) == 10:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    statement = Statement(Rule("PING", interrupt_at_the_tenth), {})
    with pytest.raises(KeyboardInterrupt):
        benchmark(connect().context, statement, concurrency=1, iterations=500)
    assert len(ran) < 500
