"""Who belongs to a tenant."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import schemas, selectors
from apps.accounts.errors import NotYours
from apps.accounts.services import teams
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.accounts.wire import invited_to_wire, member_to_wire, team_to_wire
from apps.core.bodies import read_required
from apps.core.rest import caller, http_request, web_success
from apps.core.validation import validate


@extend_schema(tags=["teams"])
class TeamViewSet(WebViewSet):
    @extend_schema(summary="List the teams one belongs or is invited to", responses=ANSWER)
    def list(self, request: Request) -> Response:
        memberships = list(selectors.memberships_of(caller(request)))
        owners = selectors.owners_of([membership.tenant_id for membership in memberships])
        return web_success(
            [
                team_to_wire(membership, owners[membership.tenant_id])
                for membership in memberships
                if membership.tenant_id in owners
            ]
        )

    @extend_schema(summary="Accept an invitation", responses=ANSWER)
    def agree(self, request: Request, tenant_id: str) -> Response:
        teams.accept_invitation(user=selectors.user_of(caller(request)), tenant_id=tenant_id)
        return web_success(data=True)


@extend_schema(tags=["teams"])
class MemberViewSet(WebViewSet):
    @extend_schema(summary="List the members of a team", responses=ANSWER)
    def list(self, request: Request, tenant_id: str) -> Response:
        if not selectors.can_administer(caller(request), tenant_id):
            raise NotYours
        return web_success([member_to_wire(membership) for membership in selectors.team_of(tenant_id)])

    @extend_schema(summary="Invite a user", request=schemas.Invitation, responses=ANSWER)
    def invite(self, request: Request, tenant_id: str) -> Response:
        sent = validate(schemas.Invitation, read_required(http_request(request), ("email",)))
        membership = teams.invite(
            principal=caller(request), tenant_id=tenant_id, email=sent.email.strip(), role=sent.role
        )
        return web_success(invited_to_wire(membership.user))

    @extend_schema(summary="Change a member's role", request=schemas.RoleChange, responses=ANSWER)
    def change_role(self, request: Request, tenant_id: str, user_id: str) -> Response:
        sent = validate(schemas.RoleChange, read_required(http_request(request), ("role",)))
        teams.change_role(principal=caller(request), tenant_id=tenant_id, user_id=user_id, role=sent.role)
        return web_success(data=True)

    @extend_schema(summary="Remove a member, or leave a team", responses=ANSWER)
    def remove(self, request: Request, tenant_id: str, user_id: str) -> Response:
        teams.remove(principal=caller(request), tenant_id=tenant_id, user_id=user_id)
        return web_success(data=True)
