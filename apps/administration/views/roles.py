"""Roles and permissions of the whole installation, which there are none of: each team gives its own."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.views.base import ANSWER
from apps.administration import schemas
from apps.administration.errors import AdminError
from apps.administration.views.base import AdminViewSet
from apps.core.bodies import read_object
from apps.core.rest import http_request


@extend_schema(tags=["administration"])
class RoleViewSet(AdminViewSet):
    @extend_schema(summary="Create a role: not possible here", request=schemas.NewRole, responses=ANSWER)
    def create(self, request: Request) -> Response:
        body = read_object(http_request(request))
        role = schemas.required(body, "role_name", "Role name is required")
        if "description" not in body:
            raise AdminError(500, "`description` is required.", reference="'description'")
        raise _not_here(f"create role: {role}, description: {body['description']}")

    @extend_schema(summary="List roles: not possible here", responses=ANSWER)
    def list(self, _request: Request) -> Response:
        raise _not_here("list roles")

    @extend_schema(summary="Describe a role: not possible here", request=schemas.NewRole, responses=ANSWER)
    def update(self, request: Request, role: str) -> Response:
        body = read_object(http_request(request))
        description = schemas.required(body, "description", "Role description is required")
        raise _not_here(f"update role: {role} with description: {description}")

    @extend_schema(summary="Delete a role: not possible here", responses=ANSWER)
    def delete(self, _request: Request, role: str) -> Response:
        raise _not_here(f"drop role: {role}")

    @extend_schema(summary="Show what a role permits: not possible here", responses=ANSWER)
    def show(self, _request: Request, role: str) -> Response:
        raise _not_here(f"show role {role}")

    @extend_schema(summary="Permit a role something: not possible here", request=schemas.Permission, responses=ANSWER)
    def grant(self, request: Request, role: str) -> Response:
        actions, resource = _permission(request)
        raise _not_here(f"grant role {role} actions: {actions} on {resource}")

    @extend_schema(summary="Forbid a role something: not possible here", request=schemas.Permission, responses=ANSWER)
    def revoke(self, request: Request, role: str) -> Response:
        actions, resource = _permission(request)
        raise _not_here(f"revoke role {role} actions: {actions} on {resource}")

    @extend_schema(summary="Give a user a role: not possible here", request=schemas.NewRole, responses=ANSWER)
    def assign(self, request: Request, username: str) -> Response:
        role = schemas.required(read_object(http_request(request)), "role_name", "Role name is required")
        raise _not_here(f"update user role: {username} to role {role}")

    @extend_schema(summary="Show what a user is permitted: not possible here", responses=ANSWER)
    def of_user(self, _request: Request, username: str) -> Response:
        raise _not_here(f"get user permission: {username}")


def _permission(request: Request) -> tuple[object, object]:
    body = read_object(http_request(request))
    sentence = "Permission is required"
    return schemas.required(body, "actions", sentence), schemas.required(body, "resource", sentence)


def _not_here(what: str) -> AdminError:
    return AdminError(500, f"not implement: {what}")
