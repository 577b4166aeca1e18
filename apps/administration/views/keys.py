"""The API keys of a user's tenant, under both spellings of their paths."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.schemas import NewToken
from apps.accounts.services import tokens
from apps.accounts.views.base import ANSWER
from apps.administration import selectors
from apps.administration.answers import done
from apps.administration.errors import AdminError
from apps.administration.views.base import AdminViewSet, user_named
from apps.administration.wire import key_to_wire, new_key_to_wire
from apps.core.wire_profile import profile


@extend_schema(tags=["administration"])
class KeyViewSet(AdminViewSet):
    @extend_schema(summary="Create an API key for a user", request=None, responses=ANSWER)
    def create(self, _request: Request, username: str) -> Response:
        """The answer is the only place where the key is shown in full."""
        user = selectors.user_named(username)
        if user is None:
            raise AdminError(404, "User not found!")
        tenant = selectors.tenant_of(user)
        if tenant is None:
            raise AdminError(404, "Tenant not found!")
        issued = tokens.create_pair(principal=selectors.principal_of(user), tenant=tenant, data=NewToken())
        return done(new_key_to_wire(issued), "API key generated successfully")

    @extend_schema(summary="List the API keys of a user", responses=ANSWER)
    def list(self, _request: Request, username: str) -> Response:
        user = user_named(username)
        if profile().keeps_token_copy:
            tokens.add_share_tokens(tokens=selectors.keys_of(user).select_related("tenant", "share_token"))
        owner = selectors.principal_of(user)
        return done([key_to_wire(token, owner) for token in selectors.keys_of(user)], "Get user API keys")

    @extend_schema(summary="Revoke an API key, named by its text, prefix or id", responses=ANSWER)
    def delete(self, _request: Request, username: str, key: str) -> Response:
        tenant = selectors.tenant_of(user_named(username))
        if tenant is None or not tokens.revoke_named(tenant=tenant, name=key):
            raise AdminError(404, "API key not found or could not be deleted")
        return done(message="API key deleted successfully")


class UserTokenViewSet(KeyViewSet):
    """The same under the other spelling, with a name of its own in the OpenAPI document."""
