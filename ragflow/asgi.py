"""The ASGI application: two halves for HTTP, and a websocket. Daphne (`ragflow.web`) and uvicorn run it alike."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragflow.settings")
django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 -- Django has to be ready first
from django.urls import get_resolver, path, re_path  # noqa: E402

from apps.core.http import canonical_path  # noqa: E402
from apps.documents.consumers import ProgressConsumer  # noqa: E402
from ragflow.handlers import OrdinaryHalf, Receive, Scope, Send, StreamingHalf  # noqa: E402
from ragflow.observed import observed  # noqa: E402
from ragflow.streaming import STREAMING_PATHS  # noqa: E402

get_resolver().url_patterns  # noqa: B018 -- imports every view now and not within the first request

_streaming_half = StreamingHalf()
_ordinary_half = OrdinaryHalf()


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the request in the half that its path belongs to."""
    path_info = canonical_path(scope["path"].removeprefix(scope.get("root_path", "")))
    half = _streaming_half if STREAMING_PATHS.fullmatch(path_info) else _ordinary_half
    await observed(half, scope, receive, send)


async def unknown_websocket(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter(
            [
                path("ws/datasets/<str:dataset_id>/progress", ProgressConsumer.as_asgi()),
                re_path("", unknown_websocket),  # type: ignore[arg-type]
            ]
        ),
    }
)
