"""Login, accounts, teams, model providers, tokens and Langfuse."""

from django.urls import path

from apps.accounts.views.external_logins import ExternalLoginViewSet
from apps.accounts.views.langfuse import LangfuseViewSet
from apps.accounts.views.models import ModelViewSet
from apps.accounts.views.plugins import PluginViewSet
from apps.accounts.views.profile import ProfileViewSet
from apps.accounts.views.recovery import RecoveryViewSet
from apps.accounts.views.sessions import LoginViewSet, LogoutViewSet
from apps.accounts.views.teams import MemberViewSet, TeamViewSet
from apps.accounts.views.tokens import BoundTokenViewSet, RemoveTokensViewSet, TokenViewSet

urlpatterns = [
    path("v1/user/register", LoginViewSet.as_view({"post": "register"})),
    path("v1/user/login", LoginViewSet.as_view({"post": "login", "get": "login"})),
    path("v1/user/login/channels", ExternalLoginViewSet.as_view({"get": "channels"})),
    path("v1/user/login/<str:channel>", ExternalLoginViewSet.as_view({"get": "begin"})),
    path("v1/user/oauth/callback/<str:channel>", ExternalLoginViewSet.as_view({"get": "callback"})),
    path("v1/user/github_callback", ExternalLoginViewSet.as_view({"get": "callback_of_github"})),
    path("v1/user/feishu_callback", ExternalLoginViewSet.as_view({"get": "callback_of_feishu"})),
    path("v1/user/logout", LogoutViewSet.as_view({"get": "logout"})),
    path("v1/user/info", ProfileViewSet.as_view({"get": "info"})),
    path("v1/user/setting", ProfileViewSet.as_view({"post": "setting"})),
    path("v1/user/tenant_info", ProfileViewSet.as_view({"get": "tenant_info"})),
    path("v1/user/set_tenant_info", ProfileViewSet.as_view({"post": "set_tenant_info"})),
    path("v1/user/forget/captcha", RecoveryViewSet.as_view({"get": "captcha"})),
    path("v1/user/forget/otp", RecoveryViewSet.as_view({"post": "otp"})),
    path("v1/user/forget/verify-otp", RecoveryViewSet.as_view({"post": "verify_otp"})),
    path("v1/user/forget/reset-password", RecoveryViewSet.as_view({"post": "reset_password"})),
    path("v1/tenant/list", TeamViewSet.as_view({"get": "list"})),
    path("v1/tenant/agree/<str:tenant_id>", TeamViewSet.as_view({"put": "agree"})),
    path("v1/tenant/<str:tenant_id>/user/list", MemberViewSet.as_view({"get": "list"})),
    path("v1/tenant/<str:tenant_id>/user", MemberViewSet.as_view({"post": "invite"})),
    path(
        "v1/tenant/<str:tenant_id>/user/<str:user_id>",
        MemberViewSet.as_view({"delete": "remove", "put": "change_role"}),
    ),
    path("v1/system/public_key", LoginViewSet.as_view({"get": "public_key"})),
    path("v1/system/new_token", TokenViewSet.as_view({"post": "create"})),
    path("v1/system/token_list", TokenViewSet.as_view({"get": "list"})),
    path("v1/system/token/<str:token>", TokenViewSet.as_view({"delete": "delete"})),
    path("v1/system/token/<str:token>/rotate", TokenViewSet.as_view({"post": "rotate"})),
    path("v1/llm/factories", ModelViewSet.as_view({"get": "factories"})),
    path("v1/llm/my_llms", ModelViewSet.as_view({"get": "my_llms"})),
    path("v1/llm/list", ModelViewSet.as_view({"get": "list"})),
    path("v1/llm/set_api_key", ModelViewSet.as_view({"post": "set_api_key"})),
    path("v1/llm/add_llm", ModelViewSet.as_view({"post": "add_llm"})),
    path("v1/llm/delete_llm", ModelViewSet.as_view({"post": "delete_llm"})),
    path("v1/llm/enable_llm", ModelViewSet.as_view({"post": "enable_llm"})),
    path("v1/llm/delete_factory", ModelViewSet.as_view({"post": "delete_factory"})),
    path(
        "v1/langfuse/api_key",
        LangfuseViewSet.as_view({"post": "set", "put": "set", "get": "show", "delete": "delete"}),
    ),
    path("v1/plugin/llm_tools", PluginViewSet.as_view({"get": "llm_tools"})),
    path("v1/api/new_token", BoundTokenViewSet.as_view({"post": "create"})),
    path("v1/api/token_list", BoundTokenViewSet.as_view({"get": "list"})),
    path("v1/api/rm", RemoveTokensViewSet.as_view({"post": "remove"})),
]
