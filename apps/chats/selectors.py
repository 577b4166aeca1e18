"""Reading assistants, sessions, messages and search apps, always on behalf of a caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from django.db import models

from apps.accounts.selectors import joined_tenant_ids
from apps.chats.models import Assistant, AssistantDataset, Message, SearchApp, Session, SessionSource
from apps.chats.search_config import dataset_ids_of
from apps.core.ids import is_id
from apps.core.many import among
from apps.core.names import name_key, named_like
from apps.core.paging import ordering
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import datasets_by_id, readable_ids

_TIMES = {
    "create_time": "created_at",
    "create_date": "created_at",
    "update_time": "updated_at",
    "update_date": "updated_at",
}
_ASSISTANT_COLUMNS = {
    **_TIMES,
    "id": "id",
    "tenant_id": "tenant_id",
    "name": "name",
    "description": "description",
    "icon": "avatar",
    "language": "language",
    "llm_id": "chat_model",
    "prompt_type": "prompt_type",
    "similarity_threshold": "similarity_threshold",
    "vector_similarity_weight": "vector_similarity_weight",
    "top_n": "top_n",
    "top_k": "top_k",
    "do_refer": "do_refer",
    "rerank_id": "rerank_model",
}
_SESSION_COLUMNS = {**_TIMES, "id": "id", "dialog_id": "assistant_id", "name": "name", "user_id": "user_id"}
_SEARCH_APP_COLUMNS = {
    **_TIMES,
    "id": "id",
    "tenant_id": "tenant_id",
    "created_by": "tenant_id",
    "name": "name",
    "description": "description",
}


def assistants_of(principal: Principal) -> models.QuerySet[Assistant]:
    """Return the live assistants of the caller's tenant.

    A token that is limited to assistants reaches those; one that is limited to datasets, those that answer from no
    other. Both limits hold at once.
    """
    return all_assistants_of(principal).filter(deleted_at=None)


def all_assistants_of(principal: Principal) -> models.QuerySet[Assistant]:
    """The same with those that have been deleted."""
    assistants = Assistant.objects.filter(tenant_id=principal.tenant_id)
    if principal.assistant_ids is not None:
        assistants = assistants.filter(pk__in=principal.assistant_ids)
    if principal.dataset_ids is not None:
        links = AssistantDataset.objects.filter(assistant=models.OuterRef("pk"), dataset__isnull=False)
        assistants = assistants.exclude(models.Exists(links.exclude(dataset__in=principal.dataset_ids)))
    return assistants


def assistant_of(principal: Principal, assistant_id: str) -> Assistant | None:
    return assistants_of(principal).filter(pk=assistant_id).select_related("tenant__langfuse_keys").first()


def assistant_called(principal: Principal, text: str) -> Assistant | None:
    """Return the assistant with this id, or else the one with this name in any letter case."""
    called = models.Q(name_key=name_key(text))
    named = assistants_of(principal).filter(called | models.Q(pk=text) if is_id(text) else called)
    found = {assistant.pk: assistant for assistant in named.select_related("tenant__langfuse_keys")}
    return found.get(text) or next(iter(found.values()), None)


def matching_assistants(principal: Principal, *, assistant_id: str = "", name: str = "") -> models.QuerySet[Assistant]:
    """Return the caller's assistants with this id and this name, in any letter case. Empty means any."""
    assistants = assistants_of(principal)
    if assistant_id:
        assistants = assistants.filter(pk=assistant_id)
    if name:
        assistants = assistants.filter(name_key=name_key(name))
    return assistants


def datasets_of(principal: Principal, assistants: Iterable[Assistant]) -> dict[str, list[KnowledgeBase]]:
    """Return the datasets that each assistant answers from, by its id. Those deleted or withdrawn since are left out.

    Whoever reaches an assistant reaches them, too. One query for all assistants; a second one when some datasets are
    not plainly the caller's own.
    """
    principal = replace(principal, assistant_ids=None)
    rows = AssistantDataset.objects.filter(assistant__in=list(assistants)).select_related("dataset")
    links = [(row.assistant_id, row.dataset) for row in rows.order_by("position") if row.dataset is not None]
    allowed = readable_ids(principal, [dataset for _, dataset in links])
    datasets: dict[str, list[KnowledgeBase]] = defaultdict(list)
    for assistant_id, dataset in links:
        if dataset.pk in allowed:
            datasets[assistant_id].append(dataset)
    return datasets


def askable_datasets(
    principal: Principal, ids: Collection[str], *, of_own_tenant: bool = False
) -> dict[str, KnowledgeBase]:
    """Return those of the ids that a request may name, in their order."""
    known = datasets_by_id(principal, ids)
    if not of_own_tenant:
        return known
    return {id_: dataset for id_, dataset in known.items() if dataset.tenant_id == principal.tenant_id}


def assignable_datasets(
    principal: Principal, ids: Collection[str], assistant: Assistant | None = None
) -> dict[str, KnowledgeBase]:
    """Return those of the ids that the caller may give an assistant, in their order.

    What an existing assistant has it may keep, also where the caller reaches that through the assistant only.
    """
    found = datasets_by_id(principal, ids)
    if assistant is None or principal.assistant_ids is None:
        return found
    found |= {dataset.pk: dataset for dataset in datasets_of(principal, [assistant]).get(assistant.pk, ())}
    return {id_: found[id_] for id_ in ids if id_ in found}


def sessions_of(principal: Principal, assistant: Assistant) -> models.QuerySet[Session]:
    """Return the sessions of one of the caller's assistants.

    For a token that is limited to datasets, a session with answers from any other does not exist: answers quote, and
    later ones build on earlier ones.
    """
    return _within_limits(principal, Session.objects.filter(assistant=assistant))


def embedded_sessions_of(principal: Principal) -> models.QuerySet[Session]:
    """Return the sessions of all live assistants of the caller on pages that embed them."""
    sessions = Session.objects.filter(assistant__in=assistants_of(principal).order_by(), is_embedded=True)
    return _within_limits(principal, sessions)


def _within_limits(principal: Principal, sessions: models.QuerySet[Session]) -> models.QuerySet[Session]:
    if principal.dataset_ids is None:
        return sessions
    sources = SessionSource.objects.filter(session=models.OuterRef("pk"))
    return sessions.exclude(models.Exists(sources.exclude(dataset_id__in=principal.dataset_ids)))


def matching_sessions(
    principal: Principal, assistant: Assistant, *, session_id: str = "", name: str = "", user_id: str = ""
) -> models.QuerySet[Session]:
    """Return the sessions of an assistant with this id, name and user. Empty means any."""
    wanted = {"pk": session_id, "name": name, "user_id": user_id}
    return sessions_of(principal, assistant).filter(**{column: value for column, value in wanted.items() if value})


def session_under(principal: Principal, assistant_id: str, session_id: str) -> Session | None:
    """Return a session of one of the caller's assistants, which may be deleted."""
    assistants = all_assistants_of(principal).filter(pk=assistant_id)
    sessions = Session.objects.filter(pk=session_id, assistant__in=assistants)
    return _within_limits(principal, sessions).select_related("assistant").first()


def recent_messages(session: Session, limit: int) -> list[tuple[str, str]]:
    """Return role and content of the last messages of a session, oldest first.

    The cost does not depend on how many came before.
    """
    newest = Message.objects.filter(session=session).order_by("-id").values_list("role", "content")[:limit]
    return list(newest)[::-1]


def own_search_apps(principal: Principal) -> models.QuerySet[SearchApp]:
    """Return what the caller may change, and what its share tokens may show."""
    return _searching_within_limits(principal, SearchApp.objects.filter(tenant_id=principal.tenant_id))


def visible_search_apps(
    principal: Principal, *, keywords: str = "", owner_ids: Sequence[str] = ()
) -> models.QuerySet[SearchApp]:
    """Return the search apps of the caller and of the tenants it joined, as a list narrows them. Empty means any."""
    joined = models.Q(tenant_id__in=joined_tenant_ids(principal))
    apps = SearchApp.objects.filter(models.Q(tenant_id=principal.tenant_id) | joined)
    apps = named_like(apps, keywords)
    if owner_ids:
        apps = apps.filter(among("tenant_id", owner_ids))
    return _searching_within_limits(principal, apps)


def _searching_within_limits(principal: Principal, apps: models.QuerySet[SearchApp]) -> models.QuerySet[SearchApp]:
    """Leave out what a narrowed token does not reach: search apps over any dataset that it may not name."""
    limit = principal.named_datasets
    if limit is None:
        return apps
    if not limit:
        return apps.none()
    configurations = apps.values_list("pk", "stored_config")  # no database function takes lists in JSON apart alike
    return apps.filter(pk__in=[pk for pk, config in configurations if limit.issuperset(dataset_ids_of(config))])


def order_assistants(column: str, *, descending: bool) -> list[str]:
    """Translate `orderby`. Raises BadValue for an unknown column."""
    return ordering(_ASSISTANT_COLUMNS, column, descending=descending, table="Dialog")


def order_sessions(column: str, *, descending: bool) -> list[str]:
    """Translate `orderby`. Raises BadValue for an unknown column."""
    return ordering(_SESSION_COLUMNS, column, descending=descending, table="Conversation")


def order_search_apps(column: str, *, descending: bool) -> list[str]:
    """Translate `orderby`. Raises BadValue for an unknown column."""
    return ordering(_SEARCH_APP_COLUMNS, column, descending=descending, table="Search")
