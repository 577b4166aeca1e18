"""On whose behalf a request runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, as services and selectors see it: a tenant, and the user or token that acts for it."""

    tenant_id: str
    user_id: str
    token_id: str | None = None  # None: a browser session or the command line

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}"

    # What DRF asks of `request.user`.
    is_authenticated = True
    is_active = True
