"""The environment that tests run in."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

SERVERS = ("DATABASE_URL", "REDIS_URL", "ELASTICSEARCH_URL", "STORAGE_URL")


def isolate(*, keep_servers: bool) -> None:
    """Point this process, and those it starts, at a fresh data folder with default settings. It is gone at the end."""
    kept = SERVERS if keep_servers else ()
    for name in list(os.environ):
        if name.startswith(("RAGFLOW_", "OPENAI_", "EMBEDDING_")) or (name in SERVERS and name not in kept):
            del os.environ[name]
    folder = tempfile.mkdtemp(prefix="ragflow-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["RAGFLOW_DATA_DIR"] = folder
    os.environ["RAGFLOW_TEST_SERVERS"] = "1" if keep_servers else "0"
    # Several test processes share few cores.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
