"""The installation: its parts, its settings, its environment and its version."""

from __future__ import annotations

import re

from django.conf import settings
from django.db import connection
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import system_settings
from apps.accounts.views.base import ANSWER
from apps.administration import parts, schemas
from apps.administration.answers import done
from apps.administration.errors import AdminError
from apps.administration.views.base import AdminViewSet
from apps.administration.wire import part_to_wire, setting_to_wire
from apps.core.bodies import read_object
from apps.core.rest import http_request

_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


@extend_schema(tags=["administration"])
class ServiceViewSet(AdminViewSet):
    """Parts are started and stopped by whatever supervises them, not here."""

    @extend_schema(summary="List the parts of the installation and whether they answer", responses=ANSWER)
    def list(self, _request: Request) -> Response:
        known = parts.parts()
        states = parts.states(known)
        return done([part_to_wire(part) | {"status": states[part.id].word} for part in known], "Get all services")

    @extend_schema(summary="Get the state of a part", responses=ANSWER)
    def show(self, _request: Request, number: str) -> Response:
        part = _part(number)
        state = parts.states([part])[part.id]
        return done({"service_name": part.name, "status": state.word, "message": state.message})

    @extend_schema(summary="Restart a part: not possible here", request=None, responses=ANSWER)
    def restart(self, _request: Request, number: str) -> Response:
        raise AdminError(500, "restart_service: not implemented")

    @extend_schema(summary="Stop a part: not possible here", responses=ANSWER)
    def shut_down(self, _request: Request, number: str) -> Response:
        raise AdminError(500, "shutdown_service: not implemented")

    @extend_schema(summary="List the parts of a type: not possible here", responses=ANSWER)
    def of_type(self, _request: Request, type_name: str) -> Response:
        raise AdminError(500, "get_services_by_type: not implemented")

    @extend_schema(summary="List how the parts are configured", responses=ANSWER)
    def configs(self, _request: Request) -> Response:
        return done([part_to_wire(part) for part in parts.parts()])


@extend_schema(tags=["administration"])
class SettingViewSet(AdminViewSet):
    @extend_schema(summary="List settings; with `var_name` in the body, those that begin so", responses=ANSWER)
    def list(self, request: Request) -> Response:
        if not http_request(request).body:
            return done([setting_to_wire(setting) for setting in system_settings.listed()])
        body = read_object(http_request(request))
        if "var_name" not in body:
            raise AdminError(500, "`var_name` is required.", reference="'var_name'")
        name = str(body["var_name"])
        found = system_settings.listed(name)
        if not found:
            raise AdminError(400, f"Can't get setting: {name}")
        return done([setting_to_wire(setting) for setting in found])

    @extend_schema(summary="Change a setting", request=schemas.NewValue, responses=ANSWER)
    def change(self, request: Request) -> Response:
        """It counts at once, in every process. What the environment gives is fixed."""
        sent = schemas.new_value(read_object(http_request(request)))
        names = [name for name in system_settings.KNOWN if name.startswith(sent.var_name)]
        if not names:
            raise AdminError(400, f"No setting: {sent.var_name}")
        if len(names) > 1:
            raise AdminError(400, f"Can't update more than 1 setting: {sent.var_name}")
        system_settings.change(name=names[0], value=sent.var_value)
        return done(message="Set variable successfully")


@extend_schema(tags=["administration"])
class EnvironmentViewSet(AdminViewSet):
    @extend_schema(summary="Get what the installation is made of", responses=ANSWER)
    def environments(self, _request: Request) -> Response:
        known = {
            "DOC_ENGINE": "elasticsearch" if settings.ELASTICSEARCH_URL else "embedded",
            "DEFAULT_SUPERUSER_EMAIL": settings.DEFAULT_SUPERUSER_EMAIL,
            "DB_TYPE": "postgres" if connection.vendor == "postgresql" else connection.vendor,
            "DEVICE": "cpu",
            "STORAGE_IMPL": "AWS_S3" if settings.STORAGE_URL.startswith("s3:") else "FILE",
        }
        return done([{"env": name, "value": value} for name, value in known.items()])

    @extend_schema(summary="Get the version", responses=ANSWER)
    def version(self, _request: Request) -> Response:
        return done({"version": f"v{settings.SPECTACULAR_SETTINGS['VERSION']}"})


def _part(number: str) -> parts.Part:
    if not _WHOLE_NUMBER.fullmatch(number):
        text = f"invalid literal for int() with base 10: {number!r}"
        raise AdminError(500, f"The number of a service must be a whole number, not {number!r}.", reference=text)
    found = next((part for part in parts.parts() if str(part.id) == number), None)
    if found is None:
        raise AdminError(500, f"invalid service_index: {number}")
    return found
