"""API tokens: general ones (`/v1/system/...`) and those bound to one chat or agent (`/v1/api/...`)."""

from __future__ import annotations

from datetime import timedelta

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import schemas, selectors
from apps.accounts.services import tokens
from apps.accounts.views.base import ANSWER, BODY, WebViewSet, own_tenant
from apps.accounts.wire import new_token_to_wire, token_to_wire
from apps.core.bodies import read_lenient, read_object, read_required
from apps.core.errors import BadValue, InvalidArgument
from apps.core.rest import caller, http_request, web_success
from apps.core.validation import validate
from apps.core.wire_profile import profile


@extend_schema(tags=["tokens"])
class TokenViewSet(WebViewSet):
    @extend_schema(summary="Create an API token", request=schemas.NewToken, responses=ANSWER)
    def create(self, request: Request) -> Response:
        """Say in the body what the token is to be good for; without one it may do whatever the caller may."""
        read = read_lenient if profile().ignores_unreadable_wishes else read_object
        data = validate(schemas.NewToken, read(http_request(request)))
        issued = tokens.create_pair(principal=caller(request), tenant=own_tenant(request), data=data)
        return web_success(new_token_to_wire(issued.token, issued.secret, issued.share_secret))

    @extend_schema(summary="List API tokens", responses=ANSWER)
    def list(self, request: Request) -> Response:
        tenant = own_tenant(request)
        if profile().keeps_token_copy:
            tokens.add_share_tokens(tokens=selectors.tokens_of(tenant))
        return web_success([token_to_wire(token, caller(request)) for token in selectors.tokens_of(tenant)])

    @extend_schema(summary="Revoke an API token, named by its secret, prefix or id", responses=ANSWER)
    def delete(self, request: Request, token: str) -> Response:
        tokens.revoke_named(tenant=own_tenant(request), name=token)
        return web_success(data=True)

    @extend_schema(summary="Give an API token a new secret", request=schemas.Rotation, responses=ANSWER)
    def rotate(self, request: Request, token: str) -> Response:
        """The old secret works on for `overlap_seconds`."""
        sent = validate(schemas.Rotation, read_object(http_request(request)))
        issued = tokens.rotate_token(
            principal=caller(request),
            tenant=own_tenant(request),
            name=token,
            overlap=timedelta(seconds=sent.overlap_seconds),
        )
        return web_success(new_token_to_wire(issued.token, issued.secret))


@extend_schema(tags=["tokens"])
class BoundTokenViewSet(WebViewSet):
    @extend_schema(summary="Create a token for one chat or agent", request=BODY, responses=ANSWER)
    def create(self, request: Request) -> Response:
        data = schemas.bound_token(read_object(http_request(request)))
        issued = tokens.create_bound_token(principal=caller(request), tenant=own_tenant(request), data=data)
        return web_success(new_token_to_wire(issued.token, issued.secret))

    @extend_schema(
        summary="List the tokens for one chat or agent",
        parameters=[OpenApiParameter("dialog_id", str), OpenApiParameter("canvas_id", str)],
        responses=ANSWER,
    )
    def list(self, request: Request) -> Response:
        query = request.query_params
        if "dialog_id" not in query and "canvas_id" not in query:
            raise BadValue(
                "`dialog_id` or `canvas_id` is required.", reference="<BadRequestKeyError '400: Bad Request'>"
            )
        wanted = query["dialog_id"] if "dialog_id" in query else query["canvas_id"]
        found = selectors.tokens_bound_to(own_tenant(request), wanted)
        return web_success([token_to_wire(token, caller(request)) for token in found])


@extend_schema(tags=["tokens"])
class RemoveTokensViewSet(WebViewSet):
    """The contract looks at the required keys before the credentials."""

    def perform_authentication(self, request: Request) -> None:
        """Leave it to the first use of `request.user`."""

    def check_permissions(self, request: Request) -> None:
        """The view does it."""

    @extend_schema(summary="Revoke tokens of one's own tenant", request=BODY, responses=ANSWER)
    def remove(self, request: Request) -> Response:
        body = read_required(http_request(request), ("tokens", "tenant_id"))
        principal = caller(request)
        named = body["tokens"]
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            raise InvalidArgument("`tokens` must be a list of texts.", data=False)
        tenant = own_tenant(request)
        if body["tenant_id"] == principal.tenant_id:
            for name in dict.fromkeys(named):
                tokens.revoke_named(tenant=tenant, name=name)
        return web_success(data=True)
