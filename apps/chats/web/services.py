"""Writing assistants as the web API asks for it: with any datasets the caller may read, parsed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts import language_models
from apps.accounts.models import Tenant
from apps.chats.models import Assistant
from apps.chats.selectors import all_assistants_of, assignable_datasets, assistants_of
from apps.chats.services.assistants import delete_assistants, write_assistant
from apps.chats.web.schemas import LONGEST_NAME, DialogData
from apps.core.errors import Conflict, DataError, NotFound, OperationRefused
from apps.core.many import among
from apps.core.names import insert_with_free_name
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.retrieval import share_a_model


def create_dialog(*, principal: Principal, tenant: Tenant, data: DialogData) -> Assistant:
    """Create an assistant; a name that the tenant uses already gets a number.

    Datasets that the caller cannot read are left out. Raises DataError for datasets that do not go together.
    """
    datasets = _datasets(principal, data.dataset_ids or [])
    columns = {name: value for name, value in data.columns.items() if name != "name"}

    def insert(name: str) -> Assistant:
        assistant = Assistant(
            tenant=tenant,
            name=name,
            chat_model=data.model or language_models.default_chat_name(tenant),
            generation_options=data.options or {},
            **columns,
        )
        assistant.prompt_config = data.prompt_config
        write_assistant(assistant, datasets, action="create")
        return assistant

    siblings = Assistant.objects.filter(tenant=tenant, deleted_at=None)
    return insert_with_free_name(data.columns["name"], siblings=siblings, insert=insert, max_bytes=LONGEST_NAME)


@transaction.atomic
def update_dialog(*, principal: Principal, dialog_id: str, data: DialogData) -> Assistant:
    """Change what was sent; the prompt replaces the stored one.

    Raises DataError for datasets that do not go together, NotFound, Conflict for a name in use.
    """
    assistant = assistants_of(principal).select_for_update().filter(pk=dialog_id).first()
    datasets = None if data.dataset_ids is None else _datasets(principal, data.dataset_ids, assistant)
    if assistant is None:
        raise NotFound("Dialog not found!")
    assistant.prompt_config = data.prompt_config
    assistant.chat_model = data.model or assistant.chat_model
    assistant.generation_options = assistant.generation_options if data.options is None else data.options
    for column, value in data.columns.items():
        setattr(assistant, column, value)
    try:
        with transaction.atomic():
            write_assistant(assistant, datasets, action="update")
    except IntegrityError:
        raise Conflict("Duplicated dialog name.") from None
    return assistant


def delete_dialogs(*, principal: Principal, ids: Sequence[str]) -> None:
    """Mark assistants as deleted, all or none; one that is already stays so. Raises OperationRefused."""
    known = set(all_assistants_of(principal).filter(among("pk", ids)).values_list("pk", flat=True))
    if any(id_ not in known for id_ in ids):
        raise OperationRefused("Only owner of dialog authorized for this operation.", data=False)
    if ids:
        delete_assistants(principal=principal, ids=ids)


def _datasets(principal: Principal, ids: Sequence[Any], assistant: Assistant | None = None) -> list[KnowledgeBase]:
    """Return the datasets as they were named, one that is named twice twice."""
    named = [id_ for id_ in ids if isinstance(id_, str)]
    known = assignable_datasets(principal, named, assistant)
    if known and not share_a_model(list(known.values())):
        models = [dataset.embedding_model for dataset in known.values()]
        raise DataError(f'Datasets use different embedding models: {models}"')
    return [known[id_] for id_ in named if id_ in known]
