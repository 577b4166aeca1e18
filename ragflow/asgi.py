"""The ASGI application: two halves for HTTP, and a websocket. Daphne (`ragflow.web`) and uvicorn run it alike."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragflow.settings")
django.setup()

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope  # noqa: E402 -- Django comes first
from channels.routing import ProtocolTypeRouter  # noqa: E402

from apps.core.http import canonical_path  # noqa: E402
from ragflow.handlers import OrdinaryHalf, StreamingHalf  # noqa: E402
from ragflow.streaming import STREAMING_PATHS  # noqa: E402

_streaming_half = StreamingHalf()
_ordinary_half = OrdinaryHalf()


async def http(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Serve the request in the half that its path belongs to."""
    path = canonical_path(scope["path"].removeprefix(scope.get("root_path", "")))
    half = _streaming_half if STREAMING_PATHS.fullmatch(path) else _ordinary_half
    await half(scope, receive, send)


application = ProtocolTypeRouter({"http": http})
