"""Login through identity providers: the browser leaves for one, and comes back."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.identity.attempts import COOKIE, LIFE
from apps.accounts.services import external_logins
from apps.accounts.views.base import ANSWER, OpenViewSet
from apps.accounts.wire import channel_to_wire
from apps.core.errors import RagflowError
from apps.core.http import client_address
from apps.core.rest import http_request, web_success

COOKIE_PATH = "/v1/user"
_REDIRECT = {(302, "text/html"): OpenApiTypes.STR}


@extend_schema(tags=["accounts"], auth=[])
class ExternalLoginViewSet(OpenViewSet):
    @extend_schema(summary="List the ways to log in besides a password", responses=ANSWER)
    def channels(self, _request: Request) -> Response:
        return web_success([channel_to_wire(channel) for channel in settings.LOGIN_CHANNELS.values()])

    @extend_schema(summary="Leave for an identity provider", responses=_REDIRECT)
    def begin(self, request: Request, channel: str) -> HttpResponse:
        departure = external_logins.begin(channel=channel, address=client_address(http_request(request)))
        response = _redirect(departure.url)
        # Lax, because the way back begins at another site.
        response.set_cookie(
            COOKIE,
            departure.cookie,
            max_age=LIFE,
            path=COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
        return response

    @extend_schema(
        summary="Come back from an identity provider",
        parameters=[OpenApiParameter("code", str), OpenApiParameter("state", str)],
        responses=_REDIRECT,
    )
    def callback(self, request: Request, channel: str) -> HttpResponse:
        """Leads to the start page: `/?auth=<session token>`, or `/?error=<reason>`."""
        sent = http_request(request)
        try:
            session = external_logins.finish(
                channel=channel,
                cookie=sent.COOKIES.get(COOKIE, ""),
                state=sent.GET.get("state", ""),
                code=sent.GET.get("code", ""),
                address=client_address(sent),
            )
            response = _to_start_page(auth=session.token)
        except RagflowError as error:
            response = _to_start_page(error=error.message)
        response.delete_cookie(COOKIE, path=COOKIE_PATH, samesite="Lax")
        return response

    @extend_schema(summary="Come back from GitHub, at its older address", responses=_REDIRECT)
    def callback_of_github(self, request: Request) -> HttpResponse:
        return self.callback(request, "github")

    @extend_schema(summary="Come back from Feishu, at its older address", responses=_REDIRECT)
    def callback_of_feishu(self, request: Request) -> HttpResponse:
        return self.callback(request, "feishu")


def _to_start_page(**query: str) -> HttpResponse:
    return _redirect(f"{settings.LOGIN_REDIRECT_URL}?{urlencode(query)}")


def _redirect(url: str) -> HttpResponse:
    return HttpResponseRedirect(url, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
