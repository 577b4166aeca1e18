"""Registration, login and logout."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import passwords, schemas, selectors
from apps.accounts.authentication import HeaderAuthentication
from apps.accounts.errors import WrongCredentials
from apps.accounts.services.accounts import register
from apps.accounts.services.sessions import StartedSession, end_session, log_in, start_session
from apps.accounts.views.base import ANSWER, OpenViewSet, WebViewSet
from apps.accounts.wire import user_to_wire
from apps.core.bodies import read_object, read_required
from apps.core.http import client_address
from apps.core.rest import caller, http_request, web_success
from apps.core.validation import validate

_SESSION_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Method": "*",
    "Access-Control-Expose-Headers": "Authorization",
    "Cache-Control": "no-store",
}
_HEADER: Any = [{"APIToken": []}, {"SessionToken": []}]


def session_answer(session: StartedSession, message: str) -> Response:
    """Answer with the user, and with the session token in the `Authorization` header."""
    response = web_success(user_to_wire(session.user), message)
    for name, value in (_SESSION_HEADERS | {"Authorization": session.token}).items():
        response.headers[name] = value
    return response


@extend_schema(tags=["accounts"], auth=[])
class LoginViewSet(OpenViewSet):
    @extend_schema(summary="Create an account", request=schemas.Registration, responses=ANSWER)
    def register(self, request: Request) -> Response:
        body = read_required(http_request(request), ("nickname", "email", "password"))
        user = register(data=validate(schemas.Registration, body), address=client_address(http_request(request)))
        return session_answer(start_session(user=user), f"{user.nickname}, welcome aboard!")

    @extend_schema(summary="Log in", request=schemas.Login, responses=ANSWER)
    def login(self, request: Request) -> Response:
        body = read_object(http_request(request))
        if not body:
            raise WrongCredentials("Unauthorized!")
        sent = validate(schemas.Login, body)
        address = client_address(http_request(request))
        return session_answer(log_in(email=sent.email, password=sent.password, address=address), "Welcome back!")

    @extend_schema(summary="Get the key under which clients encrypt passwords", responses=ANSWER)
    def public_key(self, _request: Request) -> Response:
        return web_success({"public_key": passwords.public_key(), "padding": "PKCS1v15"})


@extend_schema(tags=["accounts"])
class LogoutViewSet(WebViewSet):
    authentication_classes = (HeaderAuthentication,)

    @extend_schema(summary="Log out", responses=ANSWER, auth=_HEADER)
    def logout(self, request: Request) -> Response:
        """Ends the session token. A Django session ends at `/admin/logout/`, by a form."""
        end_session(user=selectors.user_of(caller(request)))
        return web_success(data=True)
