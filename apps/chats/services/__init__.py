"""Writing `assistants`, `sessions` with their messages, and `search_apps`."""

from apps.chats.services.assistants import create_assistant, delete_assistants, update_assistant
from apps.chats.services.deleting import Deletion
from apps.chats.services.search_apps import create_search_app, delete_search_app, update_search_app
from apps.chats.services.sessions import (
    Exchange,
    create_session,
    delete_sessions,
    opener_of,
    record_exchange,
    update_session,
)

__all__ = [
    "Deletion",
    "Exchange",
    "create_assistant",
    "create_search_app",
    "create_session",
    "delete_assistants",
    "delete_search_app",
    "delete_sessions",
    "opener_of",
    "record_exchange",
    "update_assistant",
    "update_search_app",
    "update_session",
]
