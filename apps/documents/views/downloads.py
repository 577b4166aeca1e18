"""Sending stored files. They are whatever a client sent: a browser shall neither run nor sniff them."""

from __future__ import annotations

from django.core.files.storage import default_storage
from django.http import FileResponse
from django.utils.http import content_disposition_header


def attachment(location: str, *, name: str, content_type: str) -> FileResponse | None:
    """Return the bytes stored under a key as a download, or None when there are none.

    Should a browser show them after all, it does so in a sandbox, where no script runs.
    """
    if not location or not default_storage.exists(location):
        return None
    response = FileResponse(default_storage.open(location), content_type=content_type)
    response["Content-Disposition"] = content_disposition_header(True, name)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response
