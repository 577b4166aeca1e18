"""What administrators do to users, and to datasets as a whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import transaction

from apps.accounts import audit
from apps.accounts.errors import UnknownAddress, WrongCredentials
from apps.accounts.models import Tenant, User
from apps.accounts.services.accounts import readable_password, store_password
from apps.accounts.services.sessions import StartedSession, authenticate, note_refused_login, start_session
from apps.administration.errors import FAILED, AdminError, NotAdministrator, UserNotFound
from apps.core.errors import RagflowError
from apps.datasets.models import KnowledgeBase
from apps.datasets.services import hide_datasets, purge_dataset
from apps.documents.models import Document
from apps.documents.selectors import documents_of
from apps.documents.services.deleting import delete_documents
from apps.documents.services.file_deleting import delete_tree
from apps.documents.services.parsing import start_parsing
from apps.documents.services.reembedding import start_reembedding
from ragflow.engine.errors import StoreError

log = logging.getLogger(__name__)


def log_in(*, email: str, text: str | None, address: str) -> StartedSession:
    """Start the session of an administrator; it ends the earlier one. `text` is the base64 text of the password.

    Raises AdminError and TooManyRequests.
    """
    user = admitted(email=email, text=text, address=address)
    return start_session(user=user)


def admitted(*, email: str, text: str | None, address: str) -> User:
    """Return the administrator with this password. Raises AdminError and TooManyRequests."""
    try:
        user = authenticate(email=email, text=text, address=address)
    except UnknownAddress as error:
        raise AdminError(500, error.message, reference=f"User '{email}' not found") from None
    except WrongCredentials as error:
        raise AdminError(500, error.message, reference=error.reference) from None
    try:
        require_administrator(user)
    except NotAdministrator as error:
        note_refused_login(user.email, error.message)
        raise AdminError(500, error.message) from None
    return user


def require_administrator(user: User) -> None:
    """Raise NotAdministrator unless the user is an active superuser."""
    if not user.is_superuser:
        raise NotAdministrator
    if not user.is_active:
        raise NotAdministrator(f"User {user.email} inactive")


def set_password(*, user: User, field: object, keep_login: bool) -> bool:
    """Set a password as clients send it, and return whether it differs. The user's login ends, unless it is kept.

    Raises BadValue.
    """
    text = readable_password("new_password", field)
    if user.check_encoded_password(text):
        return False
    user.set_encoded_password(text)
    store_password(user=user, keep_login=keep_login)
    return True


@transaction.atomic
def set_active(*, user: User, active: bool) -> bool:
    """Let a user in or keep the user and all keys of the tenant out. Return whether that is a change.

    Raises AdminError for the last administrator.
    """
    if user.is_active == active:
        return False
    if not active:
        _require_another_administrator(user)
    user.is_active = active
    user.session_digest = None
    user.save(update_fields=["is_active", "session_digest", "updated_at"])
    _record("activate" if active else "deactivate", user)
    return True


@transaction.atomic
def set_administrator(*, user: User, administrator: bool) -> bool:
    """Make a user an administrator, or no longer one. Return whether that is a change.

    Raises AdminError for the last administrator.
    """
    if user.is_superuser == administrator:
        return False
    if not administrator:
        _require_another_administrator(user)
    user.is_superuser = user.is_staff = administrator
    user.save(update_fields=["is_superuser", "is_staff", "updated_at"])
    _record("grant administration" if administrator else "revoke administration", user)
    return True


def is_last_administrator(user: User) -> bool:
    """Tell whether nobody but this user administers. Belongs into the transaction of a change.

    Nobody changes his own rights, but two could take each other's at the same moment: the second one waits here.
    """
    administrators = User.objects.select_for_update().filter(is_superuser=True, is_active=True).order_by("pk")
    return [administrator.pk for administrator in administrators] == [user.pk]


def _require_another_administrator(user: User) -> None:
    if is_last_administrator(user):
        raise AdminError(409, f"{user.email} is the only administrator left.")


# -- deletion ------------------------------------------------------------------------------------------------------


def delete_user(*, user: User) -> list[str]:
    """Delete a deactivated user with everything that is the user's, and return a line per kind of thing.

    Raises AdminError for one who is active or an administrator, also one who became so meanwhile, and when a store
    fails: what is left then is still the user's, and the same call goes on with it. Raises UserNotFound when another
    call has finished it meanwhile.
    """
    _require_deletable(user)
    try:
        report = [f"{step(user)} {thing}." for thing, step in _STEPS.items()]
        _delete_rows(user)
    except AdminError:
        raise
    except Exception as error:  # each store has errors of its own
        log.exception("The user %s could not be deleted completely", user.pk)
        text = "An internal error occurred during user deletion. Some operations may have completed."
        raise AdminError(FAILED, text) from error
    return report


def _delete_datasets(user: User) -> int:
    datasets = list(KnowledgeBase.objects.filter(tenant_id=user.pk))
    hide_datasets(datasets)
    for dataset in datasets:
        purge_dataset(dataset)
    if KnowledgeBase.objects.filter(tenant_id=user.pk).exists():
        raise RuntimeError("Datasets are left.")
    return len(datasets)


def _delete_documents_elsewhere(user: User) -> int:
    """Delete what the user added to datasets of other tenants."""
    created = Document.objects.filter(created_by=user.pk, deleted_at__isnull=True)
    deleted = 0
    for dataset in KnowledgeBase.objects.filter(pk__in=created.values("dataset")):
        ids = list(created.filter(dataset=dataset).values_list("pk", flat=True))
        deleted += delete_documents(dataset=dataset, ids=ids)
    return deleted


def _delete_files(user: User) -> int:
    return delete_tree(tenant_id=user.pk)


_STEPS: dict[str, Callable[[User], int]] = {
    "datasets with their documents deleted": _delete_datasets,
    "documents in datasets of others deleted": _delete_documents_elsewhere,
    "entries of the file manager deleted": _delete_files,
}


@transaction.atomic
def _delete_rows(user: User) -> None:
    """Delete the tenant with its chats, searches, keys, models and members, and the user."""
    current = User.objects.select_for_update().filter(pk=user.pk).first()
    if current is None:
        raise UserNotFound(user.email)
    _require_deletable(current)  # the stores took a while
    Tenant.objects.filter(pk=user.pk).delete()
    current.delete()
    _record("delete", user)


def _require_deletable(user: User) -> None:
    if user.is_active:
        raise AdminError(FAILED, f"{user.pk} is active and can't be deleted.")
    if user.is_superuser:
        raise AdminError(FAILED, "Can't delete the super user.")


def _record(action: str, user: User) -> None:
    audit.record(action, "user", id=user.pk, name=user.email, tenant_id=user.pk)


# -- datasets ------------------------------------------------------------------------------------------------------


def retry_failed(datasets: Sequence[KnowledgeBase]) -> tuple[int, list[str]]:
    """Queue the failed documents again. Return how many were queued, and a sentence for each that was not."""
    queued, refused = 0, []
    for dataset in datasets:
        failed = documents_of(dataset).filter(state=Document.State.FAIL)
        for document_id, name in failed.values_list("pk", "name"):
            try:
                queued += not start_parsing(dataset=dataset, ids=[document_id])
            except (RagflowError, StoreError) as error:
                refused.append(f"{name}: {error}")
    return queued, refused


def reembed(datasets: Sequence[KnowledgeBase], model: str) -> tuple[int, list[str]]:
    """Have these datasets embedded with a model. Return how many were queued, and a sentence for each that was not."""
    queued, refused = 0, []
    for dataset in datasets:
        try:
            start_reembedding(dataset=dataset, model=model)
            queued += 1
        except RagflowError as error:
            refused.append(f"{dataset}: {error}")
    return queued, refused
