"""A person's own account and tenant."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import schemas, selectors
from apps.accounts.errors import NotYours
from apps.accounts.services.accounts import require_password, set_password, update_profile, update_tenant
from apps.accounts.views.base import ANSWER, BODY, WebViewSet, own_tenant
from apps.accounts.wire import tenant_to_wire, user_to_wire
from apps.core.bodies import read_object, read_required
from apps.core.errors import NotFound
from apps.core.rest import caller, http_request, web_success

_MODELS = ("tenant_id", "asr_id", "embd_id", "img2txt_id", "llm_id")


@extend_schema(tags=["accounts"])
class ProfileViewSet(WebViewSet):
    @extend_schema(summary="Get one's own account", responses=ANSWER)
    def info(self, request: Request) -> Response:
        return web_success(user_to_wire(selectors.user_of(caller(request))))

    @extend_schema(summary="Change one's own profile or password", request=schemas.Profile, responses=ANSWER)
    def setting(self, request: Request) -> Response:
        body = read_object(http_request(request))
        user = selectors.user_of(caller(request))
        is_login = caller(request).token_id is None and "Authorization" in request.headers  # and no browser's session
        if current := body.get("password"):
            require_password(user=user, current=current)
        changes = schemas.profile_changes(body)
        if current and (new := body.get("new_password")):
            set_password(user=user, new=new, keep_login=is_login)
        update_profile(user=user, changes=changes)
        return web_success(data=True)

    @extend_schema(summary="Get one's own tenant", responses=ANSWER)
    def tenant_info(self, request: Request) -> Response:
        return web_success(tenant_to_wire(own_tenant(request)))

    @extend_schema(summary="Choose the default models of a tenant", request=BODY, responses=ANSWER)
    def set_tenant_info(self, request: Request) -> Response:
        body = read_required(http_request(request), _MODELS)
        tenant_id = body["tenant_id"]
        if not isinstance(tenant_id, str) or not selectors.can_administer(caller(request), tenant_id):
            raise NotYours
        tenant = selectors.tenant_by_id(tenant_id)
        if tenant is None:
            raise NotFound("Tenant not found!")
        update_tenant(tenant=tenant, changes=schemas.tenant_changes(body))
        return web_success(data=True)
