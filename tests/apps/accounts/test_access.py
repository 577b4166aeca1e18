"""Every route of accounts against every kind of caller. A route that is missing here fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import urls
from apps.accounts.models import APIToken, Membership, Tenant, TenantModel, User
from apps.accounts.services import create_token, revoke_token
from apps.core.principal import Scope
from ragflow.urls import urlpatterns
from tests.apps.accounts.conftest import Web, join

OPEN, READ, ADMIN = "open", "read", "admin"
OWNER, MEMBER = "{owner}", "{member}"

ROUTES: dict[tuple[str, str], tuple[str, Any]] = {
    ("POST", "v1/user/register"): (OPEN, {}),
    ("POST", "v1/user/login"): (OPEN, {}),
    ("GET", "v1/user/login"): (OPEN, {}),
    ("GET", "v1/user/login/channels"): (OPEN, None),
    ("GET", "v1/user/login/<str:channel>"): (OPEN, None),
    ("GET", "v1/user/oauth/callback/<str:channel>"): (OPEN, None),
    ("GET", "v1/user/github_callback"): (OPEN, None),
    ("GET", "v1/user/feishu_callback"): (OPEN, None),
    ("GET", "v1/user/forget/captcha"): (OPEN, None),
    ("POST", "v1/user/forget/otp"): (OPEN, {}),
    ("POST", "v1/user/forget/verify-otp"): (OPEN, {}),
    ("POST", "v1/user/forget/reset-password"): (OPEN, {}),
    ("GET", "v1/system/public_key"): (OPEN, None),
    ("GET", "v1/system/config"): (OPEN, None),
    ("GET", "v1/user/info"): (READ, None),
    ("GET", "v1/user/tenant_info"): (READ, None),
    ("GET", "v1/tenant/list"): (READ, None),
    ("GET", "v1/tenant/<str:tenant_id>/user/list"): (READ, None),
    ("GET", "v1/system/version"): (READ, None),
    ("GET", "v1/system/status"): (READ, None),
    ("GET", "v1/llm/factories"): (READ, None),
    ("GET", "v1/llm/my_llms"): (READ, None),
    ("GET", "v1/llm/list"): (READ, None),
    ("POST", "v1/llm/set_api_key"): (ADMIN, {"tenant_id": OWNER, "llm_factory": "Nobody", "api_key": "x"}),
    ("POST", "v1/llm/add_llm"): (
        ADMIN,
        {"tenant_id": OWNER, "llm_factory": "OpenAI", "llm_name": "whisper-1", "model_type": "speech2text"},
    ),
    ("POST", "v1/llm/enable_llm"): (
        ADMIN,
        {"tenant_id": OWNER, "llm_factory": "OpenAI", "llm_name": "o3", "status": "0"},
    ),
    ("POST", "v1/llm/delete_llm"): (ADMIN, {"tenant_id": OWNER, "llm_factory": "OpenAI", "llm_name": "o3"}),
    ("POST", "v1/llm/delete_factory"): (ADMIN, {"tenant_id": OWNER, "llm_factory": "OpenAI"}),
    ("GET", "v1/user/logout"): (ADMIN, None),
    ("POST", "v1/user/setting"): (ADMIN, {"nickname": "changed"}),
    ("POST", "v1/user/set_tenant_info"): (
        ADMIN,
        {"tenant_id": OWNER, "llm_id": "changed", "embd_id": "", "asr_id": "", "img2txt_id": ""},
    ),
    ("PUT", "v1/tenant/agree/<str:tenant_id>"): (ADMIN, None),
    ("POST", "v1/tenant/<str:tenant_id>/user"): (ADMIN, {"email": "dave@example.org"}),
    ("PUT", "v1/tenant/<str:tenant_id>/user/<str:user_id>"): (ADMIN, {"role": "viewer"}),
    ("DELETE", "v1/tenant/<str:tenant_id>/user/<str:user_id>"): (ADMIN, None),
    ("POST", "v1/system/new_token"): (ADMIN, None),
    ("GET", "v1/system/token_list"): (ADMIN, None),
    ("DELETE", "v1/system/token/<str:token>"): (ADMIN, None),
    ("POST", "v1/system/token/<str:token>/rotate"): (ADMIN, None),
    ("GET", "v1/plugin/llm_tools"): (READ, None),
    ("POST", "v1/langfuse/api_key"): (ADMIN, {"host": "", "public_key": "", "secret_key": ""}),
    ("PUT", "v1/langfuse/api_key"): (ADMIN, {"host": "", "public_key": "", "secret_key": ""}),
    ("GET", "v1/langfuse/api_key"): (ADMIN, None),
    ("DELETE", "v1/langfuse/api_key"): (ADMIN, None),
    ("POST", "v1/api/new_token"): (ADMIN, {"dialog_id": "x"}),
    ("GET", "v1/api/token_list"): (ADMIN, None),
    ("POST", "v1/api/rm"): (ADMIN, {"tokens": ["{token}"], "tenant_id": OWNER}),
}
GIVES: dict[tuple[str, str], set[Scope]] = {("POST", "v1/api/new_token"): {Scope.CHAT}}
"""What a caller has to have beside the scope, because nobody gives what they do not have."""
PROTECTED = [(route, body) for route, (need, body) in ROUTES.items() if need != OPEN]
TEAM = [
    (route, body)
    for route, body in PROTECTED
    if "<str:tenant_id>/user" in route[1] or (isinstance(body, dict) and "llm_factory" in body)
]


def routed() -> set[tuple[str, str]]:
    system = [pattern for pattern in urlpatterns if str(pattern.pattern).startswith("v1/system/")]
    return {
        (method.upper(), str(pattern.pattern))
        for pattern in [*urls.urlpatterns, *system]
        for method in pattern.callback.actions
        if method != "head"
    } - {("GET", "v1/system/ping"), ("GET", "v1/system/healthz")}


def test_every_route_is_listed():
    assert routed() == set(ROUTES)


class World:
    """The owner's tenant with a member, a viewer and a token, and everybody else."""

    def __init__(self, new_person: Callable[..., Web]) -> None:
        self.owner = new_person("owner@example.org")
        self.member, self.viewer = new_person("member@example.org"), new_person("viewer@example.org")
        self.stranger = new_person("stranger@example.org")
        self.operator = new_person("operator@example.org", is_operator=True)
        new_person("dave@example.org")
        join(self.owner, self.member)
        join(self.owner, self.viewer, "viewer")
        self.tenant = Tenant.objects.get(pk=self.owner.user.pk)
        self.token = create_token(tenant=self.tenant).token
        TenantModel.objects.create(tenant=self.tenant, provider="OpenAI", name="o3", type="chat")

    def bearer(self, **fields: Any) -> Web:
        return Web(f"Bearer {create_token(tenant=self.tenant, **fields).secret}")

    def call(self, web: Web, method: str, route: str, body: Any = None) -> dict[str, Any]:
        names = {
            "<str:tenant_id>": self.owner.user.pk, "<str:user_id>": self.member.user.pk, "<str:token>": self.token.pk,
        }  # fmt: skip
        for name, value in names.items():
            route = route.replace(name, value)
        if isinstance(body, dict):
            known = {OWNER: self.owner.user.pk, "{token}": self.token.pk}
            body = {
                name: known.get(value, value) if isinstance(value, str) else [known.get(item, item) for item in value]
                for name, value in body.items()
            }
        return web.call(method, f"/{route}", body)

    def state(self) -> Any:
        """What of the owner nobody else may change."""
        return (
            list(User.objects.filter(pk=self.owner.user.pk).values("nickname", "password", "session_digest")),
            list(Tenant.objects.filter(pk=self.tenant.pk).values()),
            list(Membership.objects.filter(tenant=self.tenant).order_by("pk").values("user_id", "role", "is_pending")),
            list(TenantModel.objects.filter(tenant=self.tenant).values()),
            list(APIToken.objects.filter(pk=self.token.pk).values("digest", "revoked_at")),
        )


@pytest.fixture
def world(new_person: Callable[..., Web]) -> World:
    return World(new_person)


def test_nobody_enters_without_good_credentials(world: World, profile: str):
    expired = world.bearer(expires_at=timezone.now() - timedelta(seconds=1))
    issued = create_token(tenant=world.tenant)
    revoke_token(token=issued.token)
    logged_out = world.stranger
    logged_out.call("GET", "/v1/user/logout")
    callers = [Web(), Web("Bearer wrong"), expired, Web(f"Bearer {issued.secret}"), logged_out]
    before = world.state()
    for caller in callers:
        for (method, route), body in PROTECTED:
            answer = world.call(caller, method, route, body)
            assert answer["status"] == 401, (method, route)
            assert answer["message"] == "<Unauthorized '401: Unauthorized'>", (method, route)
    assert world.state() == before


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_opens_what_needs_it(world: World, profile: str, scope: Scope):
    for (method, route), (need, body) in ROUTES.items():
        if need == OPEN:
            continue
        token = world.bearer(scopes={scope} | GIVES.get((method, route), set()))
        answer = world.call(token, method, route, body)
        if need == scope:
            assert answer["status"] != 403, (method, route)
        else:
            assert (answer["status"], answer["code"]) == (403, 108), (method, route)
            assert f"`{need}`" in answer["message"]


@pytest.mark.parametrize("name", ["member", "viewer", "stranger", "operator"])
def test_a_tenant_is_its_owners(world: World, profile: str, name: str):
    """Others get answers about their own tenant, or none; nothing of the owner's changes."""
    caller: Web = getattr(world, name)
    if name == "member":  # who may leave, but that is another test
        world.member = world.viewer
    before = world.state()
    for (method, route), body in TEAM:
        answer = world.call(caller, method, route, body)
        assert (answer["code"], answer["data"]) == (109, False), (method, route)
    for (method, route), body in PROTECTED:
        if ((method, route), body) not in TEAM and "logout" not in route:
            answer = world.call(caller, method, route, body)
            for secret_of_the_owner in (world.token.pk, world.token.prefix):
                assert secret_of_the_owner not in str(answer), (method, route)
    assert world.state() == before


def test_the_owner_may_do_everything(world: World, profile: str):
    for (method, route), body in PROTECTED:
        if route not in {"v1/user/logout", "v1/api/token_list", "v1/langfuse/api_key"}:
            assert world.call(world.owner, method, route, body)["code"] == 0, (method, route)
            world.token = create_token(tenant=world.tenant).token
            Membership.objects.filter(user__email="dave@example.org", tenant=world.tenant).delete()
            join_again(world)


def join_again(world: World) -> None:
    Membership.objects.update_or_create(tenant=world.tenant, user=world.member.user)
