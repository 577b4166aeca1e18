"""Storing the bytes of uploads. They are stored before their rows; what fails leaves neither."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.core.files.storage import default_storage

from apps.core.errors import NoSpace, is_full

log = logging.getLogger(__name__)

MAX_NAME_BYTES = 255


def problem_with(name: str) -> str:
    """Return a sentence about a file name that cannot be kept, or nothing."""
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"File name must be {MAX_NAME_BYTES} bytes or less."
    if "\0" in name:
        return "File name must not contain the character NUL."
    return ""


@contextmanager
def undone_on_failure(locations: Sequence[str]) -> Iterator[None]:
    """Remove the stored bytes when anything fails, and say in words that a disk is full."""
    try:
        yield
    except BaseException as error:
        for location in locations:
            _discard(location)
        if is_full(error):
            raise NoSpace("The file storage is full. Nothing of this upload was kept.") from error
        raise


def _discard(location: str) -> None:
    try:
        default_storage.delete(location)
    except Exception:
        log.warning("The file %s of a failed upload could not be removed", location, exc_info=True)
