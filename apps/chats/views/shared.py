"""What a page that embeds a chat or a search shows of it before anybody asks."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.authentication import ShareTokenAuthentication
from apps.chats import api_schema, selectors, wire
from apps.chats.views.search_apps import search_id_of
from apps.core.errors import NotFound, OperationRefused
from apps.core.rest import ResourceViewSet, caller, success, web_success


class SharedViewSet(ResourceViewSet):
    authentication_classes = (ShareTokenAuthentication,)


@extend_schema(tags=["embedding"])
class SharedChatViewSet(SharedViewSet):
    @extend_schema(summary="Show an embedded chat")
    def info(self, request: Request, chat_id: str) -> Response:
        assistant = selectors.assistant_of(caller(request), chat_id)
        if assistant is None:
            raise NotFound(f"Can't find dialog by ID: {chat_id}")
        return success(wire.embedded_assistant_to_wire(assistant))


@extend_schema(tags=["embedding"])
class SharedSearchViewSet(SharedViewSet):
    @extend_schema(summary="Show an embedded search app", parameters=api_schema.SEARCH_ID)
    def show(self, request: Request) -> Response:
        app = selectors.own_search_apps(caller(request)).filter(pk=search_id_of(request)).first()
        if app is None:
            raise OperationRefused("Has no permission for this operation.", data=False)
        return web_success(wire.search_app_to_wire(app))
