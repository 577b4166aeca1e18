"""One exception, one answer, whichever door it leaves by; two wire profiles."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable

import psycopg
import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.test import override_settings

from apps.core import errors
from ragflow.engine.errors import InvalidQuery, ModelError, ModelNotFound, StoreError, StoreFull

exact = override_settings(WIRE_PROFILE="exact")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidArgument("m"), 400, 101),
        (errors.DataError("m"), 400, 102),
        (errors.NotFound("m"), 404, 102),
        (errors.Conflict("m"), 409, 102),
        (errors.LacksPermission("m"), 403, 108),
        (errors.AccessDenied("m"), 403, 109),
        (errors.ServerFailure("m"), 500, 500),
    ],
)
def test_standard_statuses_are_honest_and_exact_ones_are_200(error: errors.RagflowError, status: int, code: int):
    assert errors.answer_to(error) == errors.Answer(status, {"code": code, "message": "m"})
    with exact:
        assert errors.answer_to(error) == errors.Answer(200, {"code": code, "message": "m"})


def test_a_missing_header_is_a_success_code_only_where_the_reference_says_so():
    missing = errors.AuthorizationMissing()
    body = {"message": "`Authorization` can't be empty", "data": False}
    assert errors.answer_to(missing) == errors.Answer(401, {"code": 401, **body})
    with exact:
        assert errors.answer_to(missing) == errors.Answer(200, {"code": 0, **body})


def test_an_invalid_key_keeps_its_code_in_both_profiles():
    standard = errors.answer_to(errors.InvalidAPIKey())
    assert (standard.status, standard.body["code"], standard.body["data"]) == (401, 109, False)
    with exact:
        assert errors.answer_to(errors.InvalidAPIKey()).status == 200


def test_a_bad_value_names_the_field_or_repeats_the_reference():
    error = errors.BadValue("`page` must be a whole number, not 'a'.", reference="ValueError('x')")
    assert errors.answer_to(error).body == {"code": 101, "message": error.message, "data": None}
    with exact:
        assert errors.answer_to(error).body == {"code": 100, "message": "ValueError('x')", "data": None}


def test_an_unexpected_exception_is_logged_and_told_by_request_id_only(caplog: pytest.LogCaptureFixture):
    answer = errors.answer_to(RuntimeError("connect to 10.0.0.7 failed"))
    assert answer.status == 500
    assert answer.body["code"] == 100
    assert "10.0.0.7" not in answer.body["message"]
    assert "connect to 10.0.0.7 failed" in caplog.text


@exact
@pytest.mark.parametrize(
    ("exception", "status", "message"),
    [
        (LookupError("Can't find this dataset!"), 200, 'LookupError("Can\'t find this dataset!")'),
        (RuntimeError("HTTP 401 from upstream"), 401, "Unauthorized"),
        (RuntimeError("Unauthorized model"), 401, "Unauthorized"),
    ],
)
def test_the_exact_profile_shows_the_exception_as_the_reference_does(exception: Exception, status: int, message: str):
    answer = errors.answer_to(exception)
    assert (answer.status, answer.body["message"]) == (status, message)


@pytest.mark.parametrize(
    ("exception", "status"),
    [
        (InvalidQuery("top_k must be greater than 0", field="top_k"), 400),
        (ModelNotFound("The model x is not configured."), 400),
        (ModelError("The provider is busy.", code="RATE_LIMIT_EXCEEDED"), 502),
        (StoreError("The index is damaged."), 500),
        (StoreFull("The disk of the document store is full."), 507),
        (OSError(errno.ENOSPC, "No space left on device"), 507),
        (RequestDataTooBig("too big"), 413),
    ],
)
def test_failures_of_the_engine_and_of_django_have_answers(exception: Exception, status: int):
    answer = errors.answer_to(exception)
    assert answer.status == status
    assert answer.body["code"] != 0


def test_an_unknown_route_names_the_path():
    assert errors.route_not_found("/api/v1/nothing").body["message"] == "Not Found: /api/v1/nothing"


def full(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA max_page_count = 1")
    database.execute("CREATE TABLE t (x)")


def read_only(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA query_only = 1")
    database.execute("CREATE TABLE t (x)")


def wrong(database: sqlite3.Connection) -> None:
    database.execute("SELECT * FROM nowhere")


@pytest.mark.parametrize(("act", "status"), [(full, 507), (read_only, 503), (wrong, 500)])
def test_what_sqlite_cannot_do_is_told_and_our_mistakes_are_not(act: Callable[[sqlite3.Connection], None], status: int):
    with pytest.raises(sqlite3.OperationalError) as failure:
        act(sqlite3.connect(":memory:"))
    error = OperationalError(str(failure.value))
    error.__cause__ = failure.value  # as Django wraps it

    answer = errors.answer_to(error)

    assert answer.status == status
    assert ("Its log has the details" in answer.body["message"]) == (status == 500)


@pytest.mark.parametrize(
    ("error", "cause", "status"),
    [
        (OperationalError, psycopg.OperationalError("connection refused"), 503),
        (InterfaceError, psycopg.InterfaceError("the connection is closed"), 503),
        (OperationalError, psycopg.errors.DiskFull("could not extend file"), 507),
    ],
)
def test_a_postgresql_server_that_is_away_or_full(error: type[Exception], cause: Exception, status: int):
    wrapped = error(str(cause))
    wrapped.__cause__ = cause

    assert errors.answer_to(wrapped).status == status
