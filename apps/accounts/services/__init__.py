"""Writing accounts. One file per concern:

`accounts` (users and their tenants), `sessions` (login and logout), `external_logins` (through identity providers),
`recovery` (forgotten passwords), `ownership` (whose an unproven address is), `teams`, `tokens`, `models` and
`ocr_models` (model providers), `langfuse`, `secrets` (a new secret key), `retention` (what is forgotten).
"""

from apps.accounts.services.accounts import create_account, create_tenant_for
from apps.accounts.services.tokens import IssuedToken, create_token, note_use, revoke_token

__all__ = ["IssuedToken", "create_account", "create_tenant_for", "create_token", "note_use", "revoke_token"]
