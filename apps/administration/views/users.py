"""Users (`/api/v1/admin/users...`)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.errors import AddressTaken, InvalidAddress
from apps.accounts.models import User
from apps.accounts.services.accounts import create_person
from apps.accounts.views.base import ANSWER
from apps.administration import schemas, selectors, services
from apps.administration.answers import done
from apps.administration.errors import FAILED, AdminError
from apps.administration.views.base import AdminViewSet, administrator, user_named
from apps.administration.wire import dataset_to_wire, listed_user_to_wire, new_user_to_wire, shown_user_to_wire
from apps.core.bodies import read_object
from apps.core.errors import BadValue
from apps.core.rest import http_request


@extend_schema(tags=["administration"])
class UserViewSet(AdminViewSet):
    @extend_schema(summary="List users", responses=ANSWER)
    def list(self, _request: Request) -> Response:
        return done([listed_user_to_wire(user) for user in selectors.users()], "Get all users")

    @extend_schema(summary="Create a user", request=schemas.NewUser, responses=ANSWER)
    def create(self, request: Request) -> Response:
        """The user gets a tenant of the same id."""
        sent = schemas.new_user(read_object(http_request(request)))
        try:
            user = create_person(email=sent.username, password=sent.password, is_operator=sent.role == "admin")
        except InvalidAddress as error:
            raise AdminError(400, error.message) from None
        except AddressTaken:
            raise AdminError(409, f"User '{sent.username}' already exists") from None
        except BadValue as error:
            raise AdminError(FAILED, error.message, reference=error.reference) from None
        return done(new_user_to_wire(user), "User created successfully")

    @extend_schema(summary="Get a user, as a list of one or none", responses=ANSWER)
    def show(self, _request: Request, username: str) -> Response:
        user = selectors.user_named(username)
        return done([] if user is None else [shown_user_to_wire(user)])

    @extend_schema(summary="Delete a deactivated user with everything that is the user's", responses=ANSWER)
    def delete(self, _request: Request, username: str) -> Response:
        report = services.delete_user(user=user_named(username))
        return done(message="\n".join(["Successfully deleted user. Details:", *report, "Delete done!"]))

    @extend_schema(summary="Set a user's password", request=schemas.PasswordChange, responses=ANSWER)
    def set_password(self, request: Request, username: str) -> Response:
        body = read_object(http_request(request))
        field = schemas.required(body, "new_password", "New password is required")
        user = user_named(username)
        if services.set_password(user=user, field=field, keep_login=_is_caller(request, user)):
            return done(message="Password updated successfully!")
        return done(message="Same password, no need to update!")

    @extend_schema(summary="Let a user in, or keep the user out", request=schemas.Activation, responses=ANSWER)
    def activate(self, request: Request, username: str) -> Response:
        active = schemas.activation(read_object(http_request(request)))
        user, word = user_named(username), "on" if active else "off"
        if not active and _is_caller(request, user):
            raise AdminError(409, f"can't deactivate current user: {username}")
        if services.set_active(user=user, active=active):
            return done(message=f"Turn {word} user activate status successfully!")
        return done(message=f"User activate status is already {word}!")

    @extend_schema(summary="Make a user an administrator", responses=ANSWER)
    def grant(self, request: Request, username: str) -> Response:
        user = _other(request, username)
        changed = services.set_administrator(user=user, administrator=True)
        return done(message="Grant successfully!" if changed else f"{user.email} is already superuser!")

    @extend_schema(summary="Make an administrator an ordinary user", responses=ANSWER)
    def revoke(self, request: Request, username: str) -> Response:
        user = _other(request, username)
        changed = services.set_administrator(user=user, administrator=False)
        return done(message="Revoke successfully!" if changed else f"{user.email} isn't superuser, yet!")

    @extend_schema(summary="List the datasets that a user can use", responses=ANSWER)
    def datasets(self, _request: Request, username: str) -> Response:
        return done([dataset_to_wire(dataset) for dataset in selectors.datasets_of(user_named(username))])

    @extend_schema(summary="List the agents that a user can use: there are none here", responses=ANSWER)
    def agents(self, _request: Request, username: str) -> Response:
        user_named(username)
        return done([])


def _other(request: Request, username: str) -> User:
    """Return the user, unless it is the caller: nobody changes who administers by touching himself."""
    user = user_named(username)
    if _is_caller(request, user):
        raise AdminError(409, f"can't grant current user: {username}")
    return user


def _is_caller(request: Request, user: User) -> bool:
    return user.pk == administrator(request).pk
