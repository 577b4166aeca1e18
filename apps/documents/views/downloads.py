"""Sending stored files. They are whatever a client sent: a browser shall neither run nor sniff them."""

from __future__ import annotations

from django.core.files.storage import default_storage
from django.http import FileResponse
from django.utils.http import content_disposition_header

from apps.core.wire_profile import profile


def stored_file(location: str, *, name: str, content_type: str) -> FileResponse | None:
    """Return the bytes stored under a key, or None when there are none.

    The reference lets browsers open what it sends; where that is followed, a sandbox keeps scripts from running.
    """
    if not location or not default_storage.exists(location):
        return None
    response = FileResponse(default_storage.open(location), content_type=content_type)
    del response["Content-Disposition"]
    if not profile().files_open_in_browsers:
        response["Content-Disposition"] = content_disposition_header(True, name)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response
