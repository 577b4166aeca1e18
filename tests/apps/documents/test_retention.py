"""What workers forget, so that no table only grows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.accounts.services.retention import forget_expired_sessions
from apps.documents.models import IngestTask
from apps.documents.services import retention
from apps.documents.services.retention import KEPT_FOR, forget_finished_tasks
from ragflow import housekeeping

State = IngestTask.State


def age(task: IngestTask, **values: object) -> None:
    long_ago = timezone.now() - KEPT_FOR - timedelta(days=1)
    IngestTask.objects.filter(pk=task.pk).update(**{"created_at": long_ago, "finished_at": long_ago} | values)


@pytest.fixture
def tasks(upload, parsed) -> list[IngestTask]:
    for number in range(6):
        parsed(f"{number}.txt")
    return list(IngestTask.objects.order_by("created_at", "id"))


def test_tasks_that_ended_long_ago_are_forgotten_and_their_documents_stay(tasks, document_of, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    done, cancelled, quarantined, running, lately, new = tasks
    age(done)
    age(cancelled, state=State.CANCELLED)
    age(quarantined, state=State.QUARANTINED)
    age(running, state=State.RUNNING, finished_at=None)
    age(lately, finished_at=timezone.now())

    assert forget_finished_tasks() == 2

    assert set(IngestTask.objects.values_list("pk", flat=True)) == {quarantined.pk, running.pk, lately.pk, new.pk}
    assert document_of(done.document_id)["run"] == "DONE"


@pytest.mark.django_db
def test_expired_sessions_of_browsers_are_forgotten():
    now = timezone.now()
    for key, hours in (("old", -1), ("current", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=now + timedelta(hours=hours))

    assert forget_expired_sessions() == 1
    assert Session.objects.get().session_key == "current"


def test_workers_do_it(tasks):
    age(tasks[0])
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now() - timedelta(hours=1))

    housekeeping._forget()

    assert IngestTask.objects.count() == 5
    assert not Session.objects.exists()
