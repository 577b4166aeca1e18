"""What can go wrong in the admin API."""

from __future__ import annotations

from apps.core import errors

FAILED = -1
"""The code of a failure to which the contract gives no number."""


class AdminError(errors.RagflowError):
    key, status = "admin_refused", 400
    data = None

    def __init__(self, code: int, message: str, *, reference: str | Exception | None = None) -> None:
        super().__init__(message, reference=reference)
        self.code = code


class UserNotFound(AdminError):
    def __init__(self, email: str) -> None:
        super().__init__(404, f"User '{email}' not found")


class NotAdministrator(AdminError):
    key, status = "not_administrator", 403

    def __init__(self, message: str = "Not admin") -> None:
        super().__init__(403, message)


class NotLoggedIn(errors.Unauthorized):
    """Answered with a page; see `apps.administration.answers`."""


class WrongMethod(AdminError):
    key, status = "wrong_admin_method", 405

    def __init__(self) -> None:
        super().__init__(405, "Method Not Allowed")
