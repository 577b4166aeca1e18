"""The Celery application: `celery --app ragflow worker` anywhere, `python -m ragflow.worker` under `manage.py up`."""

from __future__ import annotations

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragflow.settings")
TRANSPORT_ALIASES["django"] = "ragflow.broker:Transport"

app = Celery("ragflow")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add("ragflow.housekeeping:Housekeeping")
