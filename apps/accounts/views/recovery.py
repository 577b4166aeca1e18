"""Forgotten passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.captcha import picture_of
from apps.accounts.schemas import text_of
from apps.accounts.services import recovery
from apps.accounts.views.base import ANSWER, BODY, OpenViewSet
from apps.accounts.views.sessions import session_answer
from apps.core.bodies import read_object
from apps.core.errors import InvalidArgument
from apps.core.http import client_address
from apps.core.rest import http_request, web_success


@extend_schema(tags=["accounts"], auth=[])
class RecoveryViewSet(OpenViewSet):
    @extend_schema(
        summary="Get a picture to read",
        parameters=[OpenApiParameter("email", str)],
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY},
    )
    def captcha(self, request: Request) -> HttpResponse:
        (email,) = _texts(request.query_params, "email", otherwise="email is required")
        text = recovery.new_captcha(email=email, address=_address(request))
        return HttpResponse(picture_of(text), content_type="image/JPEG", headers={"Cache-Control": "no-store"})

    @extend_schema(summary="Have a code mailed", request=BODY, responses=ANSWER)
    def otp(self, request: Request) -> Response:
        body = read_object(http_request(request))
        email, captcha = _texts(body, "email", "captcha", otherwise="email and captcha required")
        recovery.send_code(email=email, captcha=captcha, address=_address(request))
        return web_success(True, "verification passed, email sent")

    @extend_schema(summary="Show the mailed code", request=BODY, responses=ANSWER)
    def verify_otp(self, request: Request) -> Response:
        body = read_object(http_request(request))
        email, code = _texts(body, "email", "otp", otherwise="email and otp are required")
        recovery.verify_code(email=email, code=code, address=_address(request))
        return web_success(True, "otp verified")

    @extend_schema(summary="Choose a new password", request=BODY, responses=ANSWER)
    def reset_password(self, request: Request) -> Response:
        body = read_object(http_request(request))
        session = recovery.reset_password(
            email=text_of(body, "email"),
            new=body.get("new_password"),
            confirmed=body.get("confirm_new_password"),
            address=_address(request),
        )
        return session_answer(session, "Password reset successful. Logged in.")


def _texts(fields: Mapping[str, Any], *names: str, otherwise: str) -> list[str]:
    texts = [text_of(fields, name) for name in names]
    if not all(texts):
        raise InvalidArgument(otherwise, data=False)
    return texts


def _address(request: Request) -> str:
    return client_address(http_request(request))
