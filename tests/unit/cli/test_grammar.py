"""From a line to a statement."""

from __future__ import annotations

import pytest

from ragflow.cli.errors import NotUnderstood
from ragflow.cli.grammar import Mode, names_in
from ragflow.cli.lexer import tokens_of
from ragflow.cli.statements import GRAMMAR, RULES, help_text

STATEMENTS = [
    ("LOGIN USER 'a@b.c'", None, {"user": "a@b.c"}),
    ("PING", None, {}),
    ("SHOW VERSION", None, {}),
    ("REGISTER USER 'e' AS 'nick' PASSWORD 'p'", Mode.USER, {"user": "e", "nickname": "nick", "password": "p"}),
    ("LIST SERVICES", Mode.ADMIN, {}),
    ("SHOW SERVICE 3", Mode.ADMIN, {"number": 3}),
    ("STARTUP SERVICE 1", Mode.ADMIN, {"number": 1}),
    ("SHUTDOWN SERVICE 1", Mode.ADMIN, {"number": 1}),
    ("RESTART SERVICE 1", Mode.ADMIN, {"number": 1}),
    ("LIST USERS", Mode.ADMIN, {}),
    ("SHOW USER 'u'", Mode.ADMIN, {"user": "u"}),
    ("CREATE USER 'u' 'p'", Mode.ADMIN, {"user": "u", "password": "p"}),
    ("DROP USER 'u'", Mode.ADMIN, {"user": "u"}),
    ("ALTER USER PASSWORD 'u' 'p'", Mode.ADMIN, {"user": "u", "password": "p"}),
    ("ALTER USER ACTIVE 'u' on", Mode.ADMIN, {"user": "u", "status": "on"}),
    ("ALTER USER 'u' SET ROLE r-1", Mode.ADMIN, {"user": "u", "role": "r-1"}),
    ("GRANT ADMIN 'u'", Mode.ADMIN, {"user": "u"}),
    ("REVOKE ADMIN 'u'", Mode.ADMIN, {"user": "u"}),
    ("LIST DATASETS OF 'u'", Mode.ADMIN, {"user": "u"}),
    ("LIST AGENTS OF 'u'", Mode.ADMIN, {"user": "u"}),
    ("GENERATE KEY FOR USER 'u'", Mode.ADMIN, {"user": "u"}),
    ("LIST KEYS OF 'u'", Mode.ADMIN, {"user": "u"}),
    ("DROP KEY 'k' OF 'u'", Mode.ADMIN, {"key": "k", "user": "u"}),
    ("LIST ROLES", Mode.ADMIN, {}),
    ("SHOW ROLE r", Mode.ADMIN, {"role": "r"}),
    ("CREATE ROLE r", Mode.ADMIN, {"role": "r"}),
    ("CREATE ROLE r DESCRIPTION 'd'", Mode.ADMIN, {"role": "r", "description": "d"}),
    ("DROP ROLE r", Mode.ADMIN, {"role": "r"}),
    ("ALTER ROLE r SET DESCRIPTION 'd'", Mode.ADMIN, {"role": "r", "description": "d"}),
    ("GRANT a ON x TO ROLE r", Mode.ADMIN, {"actions": ["a"], "resource": "x", "role": "r"}),
    ("GRANT a, b ,c ON x TO ROLE r", Mode.ADMIN, {"actions": ["a", "b", "c"], "resource": "x", "role": "r"}),
    ("REVOKE a,b ON x FROM ROLE r", Mode.ADMIN, {"actions": ["a", "b"], "resource": "x", "role": "r"}),
    ("SHOW USER PERMISSION 'u'", Mode.ADMIN, {"user": "u"}),
    ("SET VAR mail.port 25", Mode.ADMIN, {"name": "mail.port", "value": "25"}),
    ("SHOW VAR n", Mode.ADMIN, {"name": "n"}),
    ("LIST VARS", Mode.ADMIN, {}),
    ("LIST CONFIGS", Mode.ADMIN, {}),
    ("LIST ENVS", Mode.ADMIN, {}),
    ("SHOW CURRENT USER", Mode.USER, {}),
    ("CREATE MODEL PROVIDER 'f' 'key'", Mode.USER, {"provider": "f", "key": "key"}),
    ("DROP MODEL PROVIDER 'f'", Mode.USER, {"provider": "f"}),
    ("LIST MODEL PROVIDERS", Mode.USER, {}),
    ("SET DEFAULT LLM 'm'", Mode.USER, {"model": "m"}),
    ("SET DEFAULT VLM 'm'", Mode.USER, {"model": "m"}),
    ("SET DEFAULT EMBEDDING 'm'", Mode.USER, {"model": "m"}),
    ("SET DEFAULT RERANKER 'm'", Mode.USER, {"model": "m"}),
    ("SET DEFAULT ASR 'm'", Mode.USER, {"model": "m"}),
    ("SET DEFAULT TTS 'm'", Mode.USER, {"model": "m"}),
    ("RESET DEFAULT LLM", Mode.USER, {}),
    ("LIST DEFAULT MODELS", Mode.USER, {}),
    (
        "CREATE DATASET 'n' WITH EMBEDDING 'e' PARSER 'p'",
        Mode.USER,
        {"dataset": "n", "embedding": "e", "parser_id": "p"},
    ),
    (
        "CREATE DATASET 'n' WITH EMBEDDING 'e' PIPELINE 'p'",
        Mode.USER,
        {"dataset": "n", "embedding": "e", "pipeline_id": "p"},
    ),
    ("DROP DATASET 'n'", Mode.USER, {"dataset": "n"}),
    ("LIST DATASETS", Mode.USER, {}),
    ("LIST FILES OF DATASET 'n'", Mode.USER, {"dataset": "n"}),
    ("IMPORT 'a.txt b.txt' INTO DATASET 'n'", Mode.USER, {"paths": ["a.txt", "b.txt"], "dataset": "n"}),
    ("PARSE 'my a.txt, b.txt' OF DATASET 'n'", Mode.USER, {"documents": ["my a.txt", "b.txt"], "dataset": "n"}),
    ("PARSE DATASET 'n' SYNC", Mode.USER, {"dataset": "n"}),
    ("PARSE DATASET 'n' ASYNC", Mode.USER, {"dataset": "n"}),
    ("SEARCH 'q' ON DATASETS 'a,b'", Mode.USER, {"question": "q", "datasets": ["a", "b"]}),
    ("LIST AGENTS", Mode.USER, {}),
    ("LIST CHATS", Mode.USER, {}),
    ("CREATE CHAT 'n'", Mode.USER, {"chat": "n"}),
    ("DROP CHAT 'n'", Mode.USER, {"chat": "n"}),
]
BENCHMARKED = [
    text
    for text, mode, _ in STATEMENTS
    if text == "PING" or (mode is Mode.USER and not text.startswith(("PARSE", "REG")))
]


@pytest.mark.parametrize(("text", "mode", "values"), STATEMENTS)
def test_every_statement(text, mode, values):
    statement = GRAMMAR.statement_of(f"{text};")
    assert (statement.rule.mode, statement.values) == (mode, values)


def test_no_statement_is_missing_here():
    understood = {GRAMMAR.statement_of(f"{text};").rule.pattern for text, _, _ in STATEMENTS}
    reset = {rule.pattern for rule in RULES if rule.pattern.startswith("RESET DEFAULT")}
    assert {rule.pattern for rule in RULES} == understood | reset


@pytest.mark.parametrize("line", ["list users;", "  LiSt\tUSERS ; ", "LIST USERS;"])
def test_letter_case_and_blanks_mean_nothing(line):
    assert GRAMMAR.statement_of(line).rule.name == "LIST USERS"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_are_removed_and_hold_the_other_kind(quote):
    inner = "it's" if quote == '"' else 'say "so"'
    statement = GRAMMAR.statement_of(f"create chat {quote}{inner}; \\n{quote};")
    assert statement.values == {"chat": f"{inner}; \\n"}


@pytest.mark.parametrize("text", BENCHMARKED)
def test_statements_can_be_repeated(text):
    statement = GRAMMAR.statement_of(f"benchmark 4 25 {text};")
    assert (statement.values["concurrency"], statement.values["iterations"]) == (4, 25)


@pytest.mark.parametrize("text", ["PARSE DATASET 'n' SYNC", "PARSE 'a' OF DATASET 'n'", "LIST USERS", "SHOW VERSION"])
def test_some_are_not(text):
    with pytest.raises(NotUnderstood):
        GRAMMAR.statement_of(f"BENCHMARK 1 1 {text};")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("LIST USERS", "ends too early; expected ';'"),
        ("LIST USERS; LIST USERS;", "unexpected 'LIST' at column 13; expected the end of the line"),
        ("DROP USER 'a b;", "the quote at column 11 is not closed"),
        ("DROP USER '';", "empty quotes at column 11"),
        ("DROP USER u;", "unexpected 'u' at column 11; expected a quoted text"),
        ("DROP USER;", "unexpected ';' at column 10; expected a quoted text"),
        ("SHOW SERVICE one;", "unexpected 'one' at column 14; expected a number"),
        ("SHOW SERVICE 9999999999;", "expected a number"),
        ("GRANT a, ON x TO ROLE r;", "unexpected 'x' at column 13; expected"),
        ("LIST NOTHING;", "expected SERVICES, USERS, DATASETS,"),
        ("DROP USER 'a' & 'b';", "unexpected character '&' at column 15"),
        (";", "unexpected ';' at column 1; expected LOGIN, PING"),
        ("SET DEFAULT WHAT 'm';", "expected LLM, VLM, EMBEDDING, RERANKER, ASR or TTS"),
    ],
)
def test_what_is_wrong_is_named(line, complaint):
    with pytest.raises(NotUnderstood) as raised:
        GRAMMAR.statement_of(line)
    assert complaint in str(raised.value)


def test_names_in_one_string():
    assert names_in("a b  c") == ["a", "b", "c"]
    assert names_in("my file.txt, b ,,c") == ["my file.txt", "b", "c"]


def test_tokens_know_their_columns():
    assert [(token.text, token.column) for token in tokens_of("LIST  'a b';")] == [("LIST", 1), ("a b", 7), (";", 12)]


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("CREATE USER 'u' 'hidden';", True),
        ("REGISTER USER 'u' AS 'n' PASSWORD 'hidden';", True),
        ("BENCHMARK 1 1 CREATE MODEL PROVIDER 'f' 'hidden';", True),
        ("DROP KEY 'hidden' OF 'u';", True),
        ("SHOW USER 'u';", False),
    ],
)
def test_secrets_are_known(line, secret):
    statement = GRAMMAR.statement_of(line)
    assert statement.holds_secret is secret
    assert "hidden" not in str(statement.shown)


def test_the_help_text_shows_every_statement():
    text = help_text()
    for line in ("LIST USERS;", "DROP DATASET 'dataset';", "SHOW SERVICE <number>;", r"\q, \quit, \exit"):
        assert line in text
