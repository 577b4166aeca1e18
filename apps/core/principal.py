"""On whose behalf a request runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What an API token may be good for. None implies another."""

    READ = "read"
    WRITE = "write"
    CHAT = "chat"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, as services and selectors see it: a tenant, and the user or token that acts for it.

    `dataset_ids` and `assistant_ids` narrow what a token reaches; None means everything of the tenant. Selectors apply
    them, so what lies outside does not exist for the caller, nor does what was made from it.
    """

    tenant_id: str
    user_id: str
    token_id: str | None = None  # None: a login or the command line
    scopes: frozenset[Scope] = ALL_SCOPES
    dataset_ids: frozenset[str] | None = None
    assistant_ids: frozenset[str] | None = None
    expires_at: datetime | None = None  # when what it came with ends
    requests_per_minute: int | None = None  # None: any number

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}"

    @property
    def is_narrowed(self) -> bool:
        return self.dataset_ids is not None or self.assistant_ids is not None

    @property
    def named_datasets(self) -> frozenset[str] | None:
        """The datasets that the caller may name; None means any.

        A token that is limited to assistants alone reaches datasets through them only.
        """
        return frozenset() if self.dataset_ids is None and self.is_narrowed else self.dataset_ids

    @property
    def sees_keys(self) -> bool:
        """Whether the caller is shown keys of other services that are stored with an object: who may change it is."""
        return Scope.WRITE in self.scopes

    def ends_before(self, moment: datetime | None) -> bool:
        """Tell whether the caller can do nothing any more at a moment. None stands for one that never comes."""
        return self.expires_at is not None and (moment is None or self.expires_at < moment)

    # What DRF asks of `request.user`.
    is_authenticated = True
    is_active = True
