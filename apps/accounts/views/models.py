"""Model providers (`/v1/llm/...`): which there are, and which models of them a tenant has configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import model_schemas, selectors
from apps.accounts.catalogue import offered
from apps.accounts.errors import NotYours
from apps.accounts.model_wire import configured_to_wire, provider_to_wire, selectable_to_wire
from apps.accounts.models import Tenant
from apps.accounts.schemas import text_of
from apps.accounts.services import models
from apps.accounts.services.ocr_models import add_models_of_environment
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.core.bodies import read_required
from apps.core.errors import NotFound
from apps.core.principal import Principal
from apps.core.rest import caller, http_request, web_success
from apps.core.validation import validate

_TENANT = OpenApiParameter("tenant_id", str, description="A team that one belongs to. Default: one's own tenant.")


@extend_schema(tags=["models"])
class ModelViewSet(WebViewSet):
    """Members of a team see its models; its owner and administrators change them (`tenant_id` names the team)."""

    @extend_schema(summary="List the providers of models", responses=ANSWER)
    def factories(self, _request: Request) -> Response:
        return web_success([provider_to_wire(provider) for provider in offered()])

    @extend_schema(
        summary="List the configured models",
        parameters=[_TENANT, OpenApiParameter("include_details", bool)],
        responses=ANSWER,
    )
    def my_llms(self, request: Request) -> Response:
        tenant = _listed(request)
        in_detail = request.query_params.get("include_details", "").lower() == "true"
        return web_success(configured_to_wire(selectors.models_of(tenant.pk), in_detail=in_detail))

    @extend_schema(
        summary="List the models to choose from",
        parameters=[_TENANT, OpenApiParameter("model_type", str)],
        responses=ANSWER,
    )
    def list(self, request: Request) -> Response:
        tenant = _listed(request)
        rows = selectors.models_of(tenant.pk)
        return web_success(selectable_to_wire(rows, type_part=request.query_params.get("model_type", "")))

    @extend_schema(summary="Set the key of a provider", request=model_schemas.ProviderKey, responses=ANSWER)
    def set_api_key(self, request: Request) -> Response:
        """The key is tried with one request before it is stored for all known models of the provider."""
        body = read_required(http_request(request), ("llm_factory", "api_key"))
        models.set_api_key(tenant=_administered(request, body), data=model_schemas.provider_key(body))
        return web_success(data=True)

    @extend_schema(summary="Add or change one model", request=model_schemas.NewModel, responses=ANSWER)
    def add_llm(self, request: Request) -> Response:
        """The model is asked once before it is stored."""
        body = read_required(http_request(request), ("llm_factory",))
        models.add_model(tenant=_administered(request, body), data=model_schemas.new_model(body))
        return web_success(data=True)

    @extend_schema(summary="Delete a model", request=model_schemas.ModelRef, responses=ANSWER)
    def delete_llm(self, request: Request) -> Response:
        body = read_required(http_request(request), ("llm_factory", "llm_name"))
        models.delete_model(tenant=_administered(request, body), data=validate(model_schemas.ModelRef, body))
        return web_success(data=True)

    @extend_schema(summary="Enable or disable a model", request=model_schemas.ModelStatus, responses=ANSWER)
    def enable_llm(self, request: Request) -> Response:
        body = read_required(http_request(request), ("llm_factory", "llm_name"))
        models.enable_model(tenant=_administered(request, body), data=model_schemas.model_status(body))
        return web_success(data=True)

    @extend_schema(summary="Delete a provider's models and key", request=model_schemas.ProviderRef, responses=ANSWER)
    def delete_factory(self, request: Request) -> Response:
        body = read_required(http_request(request), ("llm_factory",))
        sent = validate(model_schemas.ProviderRef, body)
        models.delete_provider(tenant=_administered(request, body), provider=sent.llm_factory)
        return web_success(data=True)


def _listed(request: Request) -> Tenant:
    tenant = _tenant(request, request.query_params, selectors.belongs_to)
    add_models_of_environment(tenant=tenant)
    return tenant


def _administered(request: Request, body: Mapping[str, Any]) -> Tenant:
    return _tenant(request, body, selectors.can_administer)


def _tenant(request: Request, sent: Mapping[str, Any], may: Callable[[Principal, str], bool]) -> Tenant:
    """Return the tenant that is meant: the caller's own unless another is named. Raises NotYours and NotFound."""
    principal = caller(request)
    tenant_id = text_of(sent, "tenant_id") or principal.tenant_id
    if not may(principal, tenant_id):
        raise NotYours
    tenant = selectors.tenant_by_id(tenant_id)
    if tenant is None:
        raise NotFound("Tenant not found!")
    return tenant
