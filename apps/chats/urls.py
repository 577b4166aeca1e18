from django.urls import path

from apps.chats.views import ChatViewSet, SessionViewSet

urlpatterns = [
    path("api/v1/chats", ChatViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"})),
    path("api/v1/chats/<str:chat_id>", ChatViewSet.as_view({"put": "update"})),
    path(
        "api/v1/chats/<str:chat_id>/sessions",
        SessionViewSet.as_view({"get": "list", "post": "create", "delete": "destroy"}),
    ),
    path("api/v1/chats/<str:chat_id>/sessions/<str:session_id>", SessionViewSet.as_view({"put": "update"})),
]
