"""How the admin API answers: always with `code`, `message` and `data`; errors mostly with status 400."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.response import Response

from apps.administration.errors import AdminError, NotLoggedIn, WrongMethod
from apps.core import errors
from apps.core.rest import translated, web_success

NOT_LOGGED_IN = b"""<!doctype html>
<html lang=en>
<title>401 Unauthorized</title>
<h1>Unauthorized</h1>
<p>The server could not verify that you are authorized to access the URL requested. You either supplied the wrong \
credentials (e.g. a bad password), or your browser doesn&#39;t understand how to supply the credentials required.</p>
"""
"""Clients of the contract recognise a missing login by this page, letter for letter."""


def done(data: Any = None, message: str = "Success") -> Response:
    return web_success(data, message)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | HttpResponse:
    """Answer any exception of a view of the admin API."""
    if isinstance(exc, NotLoggedIn):
        return HttpResponse(NOT_LOGGED_IN, status=401, content_type="text/html; charset=utf-8")
    answer = errors.answer_to(_as_admin_error(translated(exc, context)))
    return Response({"data": None} | answer.body, status=answer.status, headers=dict(answer.headers))


def _as_admin_error(exc: Exception) -> Exception:
    """Return the error that the contract makes of one that is raised elsewhere."""
    if isinstance(exc, errors.MethodNotAllowed):
        return WrongMethod()
    if isinstance(exc, AdminError | errors.TooManyRequests) or not isinstance(exc, errors.RagflowError):
        return exc
    code = 400 if isinstance(exc, errors.InvalidArgument | errors.OperationRefused) else 500
    return AdminError(code, exc.message, reference=exc.reference)
