"""Writing accounts: `accounts`, `sessions` (login and logout), `recovery` (forgotten passwords), `teams`, `tokens`."""

from apps.accounts.services.accounts import create_account, create_tenant_for
from apps.accounts.services.tokens import IssuedToken, create_token, note_use, revoke_token

__all__ = ["IssuedToken", "create_account", "create_tenant_for", "create_token", "note_use", "revoke_token"]
