"""The endpoints whose answer may flow, or waits for a model: they live on the event loop.

Each reads first, then answers as JSON or as a stream, as the client likes.
"""

from apps.chats.streams.asks import router as asks
from apps.chats.streams.chats import router as chats
from apps.chats.streams.openai import router as openai
from apps.chats.streams.pages import router as pages
from apps.chats.streams.speech import router as speech
from apps.chats.streams.trials import router as trials

ROUTERS = (chats, asks, openai, pages, speech, trials)
