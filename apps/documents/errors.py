"""What can go wrong with documents, and in the file manager, whose codes are HTTP statuses."""

from __future__ import annotations

from typing import Any

from apps.core import errors


class PartlyRefused(errors.RagflowError):
    """Some of what the request names was refused, the rest was done. Sending it again would not help."""

    key, code, status = "partly_refused", 500, 400


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
