"""Every test session has a data folder of its own, set before Django reads its settings.

`make test-servers` keeps DATABASE_URL, REDIS_URL and the like; otherwise no test reaches what the shell is set up for.
"""

from __future__ import annotations

import os

import django
import pytest

from tests.environment import isolate

isolate(keep_servers=os.environ.get("RAGFLOW_TEST_SERVERS") == "1")

# Conftest files below import models. The variable must not reach the processes of xdist: with it they would read the
# settings before they have a data folder of their own.
os.environ["DJANGO_SETTINGS_MODULE"] = "ragflow.settings"
django.setup()
del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
    """Give SQLite a file: threads that share a database in memory lock each other out, those that share a file wait."""
    from django.conf import settings
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = settings.DATA_DIR / "test.sqlite3"
