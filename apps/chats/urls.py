from django.urls import path

from apps.chats.views.chats import ChatViewSet, SessionViewSet
from apps.chats.views.search_apps import SearchAppViewSet
from apps.chats.views.shared import SharedChatViewSet, SharedSearchViewSet
from apps.chats.views.statistics import StatisticsViewSet
from apps.chats.web.views import WebDialogViewSet
from apps.core.routes import web_routes

_DIALOGS = {
    "set": {"post": "save"},
    "get": {"get": "show"},
    "list": {"get": "list"},
    "next": {"post": "page"},
    "rm": {"post": "remove"},
}

urlpatterns = [
    path("api/v1/chats", ChatViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"})),
    path("api/v1/chats/<str:chat_id>", ChatViewSet.as_view({"put": "update"})),
    path(
        "api/v1/chats/<str:chat_id>/sessions",
        SessionViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"}),
    ),
    path("api/v1/chats/<str:chat_id>/sessions/<str:session_id>", SessionViewSet.as_view({"put": "update"})),
    path("v1/api/stats", StatisticsViewSet.as_view({"get": "show"})),
    path("v1/search/create", SearchAppViewSet.as_view({"post": "create"})),
    path("v1/search/update", SearchAppViewSet.as_view({"post": "update"})),
    path("v1/search/detail", SearchAppViewSet.as_view({"get": "show"})),
    path("v1/search/list", SearchAppViewSet.as_view({"post": "list"})),
    path("v1/search/rm", SearchAppViewSet.as_view({"post": "remove"})),
    path("api/v1/chatbots/<str:chat_id>/info", SharedChatViewSet.as_view({"get": "info"})),
    path("api/v1/searchbots/detail", SharedSearchViewSet.as_view({"get": "show"})),
    *web_routes("dialog", WebDialogViewSet, _DIALOGS),
]
