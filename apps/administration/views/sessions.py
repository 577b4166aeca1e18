"""Coming and going (`ping`, `login`, `logout`, `auth`)."""

from __future__ import annotations

import base64
import binascii

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import passwords, schemas
from apps.accounts.services.sessions import end_session
from apps.accounts.views.base import ANSWER
from apps.accounts.views.sessions import session_answer
from apps.administration import services
from apps.administration.answers import done
from apps.administration.authentication import COOKIE, PATH
from apps.administration.errors import AdminError
from apps.administration.views.base import AdminViewSet, OpenAdminViewSet, administrator
from apps.core.bodies import read_object
from apps.core.http import client_address
from apps.core.rest import http_request
from apps.core.validation import validate


@extend_schema(tags=["administration"], auth=[])
class AdminLoginViewSet(OpenAdminViewSet):
    @extend_schema(summary="Whether the admin API answers", responses=ANSWER)
    def ping(self, _request: Request) -> Response:
        return done("PONG")

    @extend_schema(summary="Log in as an administrator", request=schemas.Login, responses=ANSWER)
    def login(self, request: Request) -> Response:
        body = read_object(http_request(request))
        if not body:
            raise AdminError(400, "Authorize admin failed.")
        sent = validate(schemas.Login, body)
        address = client_address(http_request(request))
        session = services.log_in(email=sent.email, text=passwords.opened(sent.password), address=address)
        response = session_answer(session, "Welcome back!")
        response.set_cookie(
            COOKIE,
            session.token,
            max_age=settings.SESSION_SECONDS,
            path=PATH,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )
        return response

    @extend_schema(summary="Check an administrator's password (HTTP Basic)", responses=ANSWER)
    def auth(self, request: Request) -> Response:
        """The password is sent as the base64 text of itself. The answer's `code` tells the outcome."""
        credentials = _basic_credentials(request)
        if credentials is None:
            return Response({"code": 401, "message": "Authentication required", "data": None})
        email, text = credentials
        try:
            services.admitted(email=email, text=text, address=client_address(http_request(request)))
        except AdminError:
            return Response({"code": 500, "message": "Access denied", "data": None})
        return done(message="Admin is authorized")


@extend_schema(tags=["administration"])
class AdminLogoutViewSet(AdminViewSet):
    """For whoever has logged in, an administrator or not."""

    permission_classes = ()

    @extend_schema(summary="Log out", responses=ANSWER)
    def logout(self, request: Request) -> Response:
        end_session(user=administrator(request))
        response = done(data=True)
        response.delete_cookie(COOKIE, path=PATH, samesite="Strict")
        return response


def _basic_credentials(request: Request) -> tuple[str, str] | None:
    """Return user name and password of the `Authorization` header, None if it has not got both."""
    scheme, _, encoded = str(request.META.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        email, _, text = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (email, text) if email and text else None
