"""What can go wrong in the file manager, whose codes are HTTP statuses."""

from __future__ import annotations

from typing import Any

from apps.core import errors


class FileNotFound(errors.NotFound):
    code = 404

    def __init__(self, message: str, *, data: Any = None) -> None:
        super().__init__(message, data=data)


class FileRefused(errors.RagflowError):
    """The request cannot be fulfilled as it is."""

    key, code, status = "file_refused", 400, 400
    data = False


class FileNameTaken(errors.Conflict):
    code = 409
    data = False


class NothingStored(errors.LookupFailed):
    """The entry exists, but has no bytes."""

    code = 404

    def __init__(self, message: str, *, reference: str) -> None:
        super().__init__(message)
        self.reference = reference
