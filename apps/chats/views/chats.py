"""Chat assistants and their sessions."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.chats import api_schema, schemas, selectors, services, wire
from apps.chats.models import Assistant
from apps.core.bodies import read_object
from apps.core.errors import DataError, NotFound
from apps.core.paging import descending, page_of
from apps.core.rest import ResourceViewSet, caller, http_request, success


@extend_schema(tags=["chats"])
class ChatViewSet(ResourceViewSet):
    """Chat assistants."""

    @extend_schema(summary="Create a chat assistant", request=api_schema.CHAT)
    def create(self, request: Request) -> Response:
        body = read_object(http_request(request))
        assistant = services.create_assistant(principal=caller(request), data=schemas.create_assistant(body))
        return success({**wire.assistant_to_wire(assistant, with_key=True), "dataset_ids": body.get("dataset_ids", [])})

    @extend_schema(summary="List chat assistants", parameters=api_schema.CHAT_FILTERS)
    def list(self, request: Request) -> Response:
        query = request.query_params
        wanted = {"assistant_id": query.get("id", ""), "name": query.get("name", "")}
        assistants = selectors.matching_assistants(caller(request), **wanted)
        ordering = selectors.order_assistants(query.get("orderby") or "create_time", descending=descending(query))
        rows = list(page_of(query).slice(assistants.order_by(*ordering)))
        if not rows and any(wanted.values()) and not assistants.exists():
            raise NotFound("The chat doesn't exist")
        datasets, with_key = selectors.datasets_of(caller(request), rows), caller(request).sees_keys
        shown = [wire.listed_assistant_to_wire(row, datasets.get(row.pk, ()), with_key=with_key) for row in rows]
        return success(shown)

    @extend_schema(summary="Change a chat assistant", request=api_schema.CHAT)
    def update(self, request: Request, chat_id: str) -> Response:
        assistant = _own(request, chat_id, "You do not own the chat")
        data = schemas.update_assistant(read_object(http_request(request)))
        services.update_assistant(principal=caller(request), assistant=assistant, data=data)
        return success()

    @extend_schema(summary="Delete chat assistants", request=api_schema.IDS)
    def destroy(self, request: Request) -> Response:
        ids = schemas.ids_of(read_object(http_request(request)))
        return _deleted(services.delete_assistants(principal=caller(request), ids=ids))


@extend_schema(tags=["chats"])
class SessionViewSet(ResourceViewSet):
    """The sessions of one chat assistant."""

    @extend_schema(summary="Create a session", request=api_schema.SESSION)
    def create(self, request: Request, chat_id: str) -> Response:
        assistant = _own(request, chat_id, "You do not own the assistant.")
        session = services.create_session(assistant=assistant, data=schemas.session(read_object(http_request(request))))
        return success(wire.session_to_wire(session, session.messages.all()))

    @extend_schema(summary="List sessions", parameters=api_schema.SESSION_FILTERS)
    def list(self, request: Request, chat_id: str) -> Response:
        assistant = _own(request, chat_id, f"You don't own the assistant {chat_id}.")
        query = request.query_params
        sessions = selectors.matching_sessions(
            caller(request),
            assistant,
            session_id=query.get("id", ""),
            name=query.get("name", ""),
            user_id=query.get("user_id", ""),
        )
        ordering = selectors.order_sessions(query.get("orderby") or "create_time", descending=descending(query))
        page = page_of(query).slice(sessions.order_by(*ordering).prefetch_related("messages"))
        return success([wire.session_to_wire(session, session.messages.all()) for session in page])

    @extend_schema(summary="Change a session", request=api_schema.SESSION)
    def update(self, request: Request, chat_id: str, session_id: str) -> Response:
        session = selectors.session_under(caller(request), chat_id, session_id)
        if session is None:
            raise NotFound("Session does not exist")
        if session.assistant.deleted_at is not None:
            raise NotFound("You do not own the session")
        services.update_session(session=session, data=schemas.update_session(read_object(http_request(request))))
        return success()

    @extend_schema(summary="Delete sessions", request=api_schema.IDS)
    def destroy(self, request: Request, chat_id: str) -> Response:
        assistant = _own(request, chat_id, "You don't own the chat")
        ids = schemas.ids_of(read_object(http_request(request)))
        return _deleted(services.delete_sessions(principal=caller(request), assistant=assistant, ids=ids))


def _own(request: Request, chat_id: str, otherwise: str) -> Assistant:
    assistant = selectors.assistant_of(caller(request), chat_id)
    if assistant is None:
        raise NotFound(otherwise)
    return assistant


def _deleted(result: services.Deletion) -> Response:
    """Answer a deletion: a plain success, a partial one, or an error when nothing could be deleted."""
    if not result.deleted and (result.errors or result.duplicates):
        raise DataError("; ".join(result.errors) or ";".join(result.duplicates))
    problems = result.errors or result.duplicates
    return success({"success_count": result.deleted, "errors": problems} if problems else None)
