"""The admin API. Keys of a user have two spellings: the command line's, and that of other clients."""

from typing import Any

from django.urls import URLPattern, path

from apps.administration.authentication import PATH
from apps.administration.views.installation import EnvironmentViewSet, ServiceViewSet, SettingViewSet
from apps.administration.views.keys import KeyViewSet, UserTokenViewSet
from apps.administration.views.roles import RoleViewSet
from apps.administration.views.sessions import AdminLoginViewSet, AdminLogoutViewSet
from apps.administration.views.users import UserViewSet


def admin(route: str, view: Any) -> URLPattern:
    pattern: URLPattern = path(f"{PATH.lstrip('/')}/{route}", view)
    return pattern


urlpatterns = [
    admin("ping", AdminLoginViewSet.as_view({"get": "ping"})),
    admin("login", AdminLoginViewSet.as_view({"post": "login"})),
    admin("logout", AdminLogoutViewSet.as_view({"get": "logout"})),
    admin("auth", AdminLoginViewSet.as_view({"get": "auth"})),
    admin("users", UserViewSet.as_view({"get": "list", "post": "create"})),
    admin("users/<str:username>", UserViewSet.as_view({"get": "show", "delete": "delete"})),
    admin("users/<str:username>/password", UserViewSet.as_view({"put": "set_password"})),
    admin("users/<str:username>/activate", UserViewSet.as_view({"put": "activate"})),
    admin("users/<str:username>/admin", UserViewSet.as_view({"put": "grant", "delete": "revoke"})),
    admin("users/<str:username>/datasets", UserViewSet.as_view({"get": "datasets"})),
    admin("users/<str:username>/agents", UserViewSet.as_view({"get": "agents"})),
    admin("users/<str:username>/keys", KeyViewSet.as_view({"post": "create", "get": "list"})),
    admin("users/<str:username>/keys/<path:key>", KeyViewSet.as_view({"delete": "delete"})),
    admin("users/<str:username>/new_token", UserTokenViewSet.as_view({"post": "create"})),
    admin("users/<str:username>/token_list", UserTokenViewSet.as_view({"get": "list"})),
    admin("users/<str:username>/token/<path:key>", UserTokenViewSet.as_view({"delete": "delete"})),
    admin("users/<str:username>/role", RoleViewSet.as_view({"put": "assign"})),
    admin("users/<str:username>/permission", RoleViewSet.as_view({"get": "of_user"})),
    admin("services", ServiceViewSet.as_view({"get": "list"})),
    admin("services/<str:number>", ServiceViewSet.as_view({"get": "show", "put": "restart", "delete": "shut_down"})),
    admin("service_types/<str:type_name>", ServiceViewSet.as_view({"get": "of_type"})),
    admin("configs", ServiceViewSet.as_view({"get": "configs"})),
    admin("variables", SettingViewSet.as_view({"get": "list", "put": "change"})),
    admin("environments", EnvironmentViewSet.as_view({"get": "environments"})),
    admin("version", EnvironmentViewSet.as_view({"get": "version"})),
    admin("roles", RoleViewSet.as_view({"post": "create", "get": "list"})),
    admin("roles/<str:role>", RoleViewSet.as_view({"put": "update", "delete": "delete"})),
    admin("roles/<str:role>/permission", RoleViewSet.as_view({"get": "show", "post": "grant", "delete": "revoke"})),
]
