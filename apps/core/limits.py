"""How long an answer may take, flowing or whole. What was said until then is kept as interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from django.conf import settings
from django.http import StreamingHttpResponse

from apps.core.errors import Unavailable
from apps.core.sse import Frames, sse_response

_T = TypeVar("_T")


async def flowing(frames: Frames, *, on_error: Callable[[Exception], Iterable[bytes]]) -> StreamingHttpResponse:
    """Answer with a stream that ends with `on_error(Unavailable)` when it takes too long."""
    return await sse_response(frames, on_error=on_error, deadline=settings.ANSWER_SECONDS)


async def whole(answer: Awaitable[_T]) -> _T:
    """Await an answer. Raises Unavailable when it takes too long."""
    limit = asyncio.timeout(settings.ANSWER_SECONDS)
    try:
        async with limit:
            return await answer
    except TimeoutError as error:
        if limit.expired():
            raise Unavailable(f"The answer took longer than {settings.ANSWER_SECONDS:g} seconds.") from error
        raise
