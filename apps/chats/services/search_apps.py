"""Writing search apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts import audit
from apps.accounts.errors import NotYours
from apps.accounts.selectors import tenant_or_none
from apps.chats.models import SearchApp
from apps.chats.schemas import SearchAppData
from apps.chats.search_config import defaults, read_settings
from apps.chats.selectors import askable_datasets, own_search_apps
from apps.core.errors import Conflict, DataError, NotFound
from apps.core.ids import is_id
from apps.core.names import insert_with_free_name, name_key
from apps.core.principal import Principal

LONGEST_NAME = 255  # bytes


def create_search_app(*, principal: Principal, data: SearchAppData) -> SearchApp:
    """Create a search app; when its name is taken, under the next free one. Raises NotFound, DataError and BadValue."""
    tenant = tenant_or_none(principal)
    if tenant is None:
        raise DataError("Authorized identity.")
    config = {**defaults(), **data.search_config}
    _check(principal, config)

    def insert(name: str) -> SearchApp:
        app = SearchApp(tenant=tenant, name=name, **data.columns)
        app.search_config = config
        app.save(force_insert=True)
        audit.record("create", "search app", id=app.pk, name=app.name, tenant_id=app.tenant_id)
        return app

    siblings = SearchApp.objects.filter(tenant=tenant)
    return insert_with_free_name(data.name, siblings=siblings, insert=insert, max_bytes=LONGEST_NAME)


@transaction.atomic
def update_search_app(*, principal: Principal, search_id: str, tenant_id: str, data: SearchAppData) -> SearchApp:
    """Change a search app; its configuration is merged into the stored one, entry by entry.

    Raises NotYours, NotFound, DataError, Conflict and BadValue.
    """
    app = _locked(principal, search_id)
    if tenant_id != principal.tenant_id:
        raise DataError("Authorized identity.")
    if own_search_apps(principal).exclude(pk=app.pk).filter(name_key=name_key(data.name)).exists():
        raise Conflict("Duplicated search name.")
    app.name = data.name
    app.search_config = {**app.search_config, **data.search_config}
    _check(principal, app.search_config)
    for column, value in data.columns.items():
        setattr(app, column, value)
    try:
        with transaction.atomic():
            app.save()
            audit.record("update", "search app", id=app.pk, name=app.name, tenant_id=app.tenant_id)
    except IntegrityError:
        raise Conflict("Duplicated search name.") from None
    return app


@transaction.atomic
def delete_search_app(*, principal: Principal, search_id: str) -> None:
    """Delete a search app of the caller. Raises NotYours."""
    app = _locked(principal, search_id)
    audit.record("delete", "search app", id=app.pk, name=app.name, tenant_id=app.tenant_id)
    app.delete()


def _check(principal: Principal, config: Mapping[str, Any]) -> None:
    """Raise BadValue for an entry of a wrong type, NotFound for a dataset that lies outside the limits of a token.

    Any other dataset is looked for when the search app is asked, on behalf of whoever asks.
    """
    named = read_settings(config).dataset_ids
    known = askable_datasets(principal, named) if principal.is_narrowed else named
    for id_ in named:
        if id_ not in known:
            raise NotFound(f"You don't own the dataset {id_}.")


def _locked(principal: Principal, search_id: str) -> SearchApp:
    found = own_search_apps(principal).select_for_update().filter(pk=search_id) if is_id(search_id) else None
    app = found.first() if found is not None else None
    if app is None:
        raise NotYours
    return app
