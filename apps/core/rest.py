"""The DRF half: views and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from apps.core import errors
from apps.core.principal import Principal


def success(data: Any = None, **extra: Any) -> Response:
    """Return the contract's success envelope; `data` only when there is something to say."""
    body: dict[str, Any] = {"code": 0}
    if data is not None:
        body["data"] = data
    return Response(body | extra)


def web_success(data: Any = None, message: str = "success") -> Response:
    """Return the success envelope of the web API (`/v1/...`), which always has all three keys."""
    return Response({"code": 0, "message": message, "data": data})


def http_request(request: Request) -> HttpRequest:
    """Return Django's request, whose body DRF has not parsed."""
    return request._request  # noqa: SLF001


def caller(request: Request) -> Principal:
    """Return on whose behalf the request runs."""
    return cast("Principal", request.user)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | HttpResponse:
    """Answer any exception of a DRF view with an envelope (the `EXCEPTION_HANDLER` setting)."""
    answer = errors.answer_to(translated(exc, context))
    body = answer.body
    if getattr(context["view"], "errors_have_data", False) and body["code"] != errors.DataError.code:
        body = {"data": None} | body
    return Response(body, status=answer.status, headers=dict(answer.headers))


def translated(exc: Exception, context: dict[str, Any]) -> Exception:
    """Return our error for one of DRF's."""
    if isinstance(exc, exceptions.MethodNotAllowed):
        return errors.MethodNotAllowed()
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return errors.AuthorizationMissing()
    if isinstance(exc, exceptions.PermissionDenied):
        return errors.AccessDenied("No authorization.")
    if isinstance(exc, exceptions.ParseError | exceptions.UnsupportedMediaType | exceptions.NotAcceptable):
        return errors.MalformedBody(str(exc.detail), reference="<BadRequest '400: Bad Request'>")
    if isinstance(exc, exceptions.APIException):
        return errors.DataError(str(exc.detail))
    return exc


class ResourceViewSet(ViewSet):
    """A viewset that, as the contract demands, refuses a wrong method before it looks at credentials.

    OPTIONS needs no credentials and answers with the `Allow` header alone.
    """

    errors_have_data = False  # whether errors with another code than DataError's have the key `data`, if only null

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.action is None:
            raise errors.MethodNotAllowed
        super().initial(request, *args, **kwargs)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse()  # DRF adds the header

    def get_authenticators(self) -> list[Any]:
        return [] if self._asks_for_options else super().get_authenticators()

    def get_permissions(self) -> Sequence[Any]:
        return [] if self._asks_for_options else super().get_permissions()

    @property
    def _asks_for_options(self) -> bool:
        return getattr(self.request, "method", "") == "OPTIONS"
