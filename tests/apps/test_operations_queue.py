"""The queue in Django's database: nothing is lost, nothing is handed to two consumers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from kombu import Connection, Consumer, Queue

from apps.core.queue import enqueue
from ragflow import broker, celery, housekeeping
from ragflow.models import BrokerMessage, Worker

pytestmark = pytest.mark.skipif(bool(settings.REDIS_URL), reason="REDIS_URL is set: the queue is not in the database")

TASK = "apps.documents.tasks.ingest_document"


@contextmanager
def consumer(*, prefetch: int = 0, looks_every: float = 0.01, waits: float = 0.05):
    """Yield a function that returns the next message, or None when there is none to have."""
    with Connection("django://", transport_options={"polling_interval": looks_every}) as link:
        received = []
        queue = Queue(settings.CELERY_TASK_DEFAULT_QUEUE)
        with Consumer(link, queue, on_message=received.append, prefetch_count=prefetch):

            def receive():
                try:
                    link.drain_events(timeout=waits)
                except TimeoutError:
                    return None
                return received.pop()

            yield receive


def task_id(message):
    return message.decode()[0][0]


def _take_into(taken, receive):
    try:
        taken.append(receive())
    finally:
        connection.close()  # this thread's own


def expire_leases():
    BrokerMessage.objects.update(visible_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db(transaction=True)
class TestEnqueue:
    def test_in_a_transaction_that_is_rolled_back_it_leaves_nothing(self):
        with transaction.atomic():
            enqueue(TASK, "a" * 32)
            transaction.set_rollback(True)

        assert not BrokerMessage.objects.exists()

    def test_in_a_transaction_that_commits_it_leaves_one_message(self):
        with transaction.atomic():
            enqueue(TASK, "a" * 32)

        assert BrokerMessage.objects.count() == 1

    def test_connecting_leaves_an_open_transaction_alone(self):
        with transaction.atomic(), Connection("django://") as link:
            housekeeping.say_alive("here/1", threads=1)
            link.connect()
            assert Worker.objects.exists()

        assert Worker.objects.exists()

    def test_carries_the_task_and_its_ids(self):
        enqueue(TASK, "a" * 32)

        with consumer() as receive:
            message = receive()

        assert message.headers["task"] == TASK
        assert task_id(message) == "a" * 32

    def test_with_redis_it_waits_for_the_commit_and_survives_a_broker_that_is_away(self, settings, monkeypatch):
        from celery.exceptions import OperationalError

        sent = []

        def send_task(name, args, **options):
            sent.append((name, args))
            raise OperationalError("connection refused")

        settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
        monkeypatch.setattr(celery.app, "send_task", send_task)

        with transaction.atomic():
            enqueue(TASK, "a" * 32)
            assert not sent

        assert sent == [(TASK, ("a" * 32,))]


@pytest.mark.django_db(transaction=True)
class TestDelivery:
    def test_messages_come_in_order_and_once(self):
        for name in "abc":
            enqueue(TASK, name)

        with consumer() as one, consumer() as other:
            received = [one(), other(), one()]
            assert [task_id(message) for message in received] == ["a", "b", "c"]
            assert one() is None
            assert other() is None
            for message in received:
                message.ack()

    def test_an_acknowledged_message_is_gone(self):
        enqueue(TASK, "a")

        with consumer() as receive:
            receive().ack()

        assert not BrokerMessage.objects.exists()

    def test_a_message_of_a_killed_consumer_comes_back_when_its_lease_runs_out(self):
        enqueue(TASK, "a")

        with consumer() as killed, consumer() as other:
            assert killed() is not None
            assert other() is None
            expire_leases()
            redelivered = other()
            assert task_id(redelivered) == "a"
            redelivered.ack()

    def test_a_living_consumer_keeps_its_message(self, monkeypatch):
        monkeypatch.setattr(broker, "RENEWAL_SECONDS", 0.0)
        enqueue(TASK, "a")

        with consumer(prefetch=1) as living, consumer() as other:
            held = living()
            expire_leases()
            assert living() is None  # a turn of the consumer's loop
            assert other() is None
            held.ack()

    def test_a_consumer_that_closes_gives_back_what_it_did_not_finish(self):
        enqueue(TASK, "a")

        with consumer() as closing:
            assert closing() is not None

        with consumer() as other:
            redelivered = other()
            assert task_id(redelivered) == "a"
            redelivered.ack()

    def test_a_rejected_message_comes_back_only_when_asked(self):
        enqueue(TASK, "a")

        with consumer() as receive:
            receive().requeue()
            receive().reject()

        assert not BrokerMessage.objects.exists()

    def test_a_full_consumer_takes_no_more(self):
        enqueue(TASK, "a")
        enqueue(TASK, "b")

        with consumer(prefetch=1) as full, consumer() as other:
            held = full()
            assert full() is None
            taken = other()
            assert task_id(taken) == "b"
            held.ack()
            taken.ack()

    def test_a_full_consumer_takes_the_next_as_soon_as_it_has_room(self):
        enqueue(TASK, "a")
        enqueue(TASK, "b")

        with consumer(prefetch=1, looks_every=3600, waits=30) as full:  # by looking, it would find it in 30 seconds
            held, taken = full(), []
            reader = threading.Thread(target=_take_into, args=[taken, full])
            reader.start()
            held.ack()
            reader.join(10)
            assert [task_id(message) for message in taken] == ["b"]
            taken[0].ack()

    def test_consumers_side_by_side_share_the_messages_without_overlap(self):
        names = [f"{number:03}" for number in range(40)]
        for name in names:
            enqueue(TASK, name)
        seen: list[str] = []

        def work():
            try:
                with consumer() as receive:
                    while message := receive():
                        seen.append(task_id(message))
                        message.ack()
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(seen) == names
        assert not BrokerMessage.objects.exists()


@pytest.mark.django_db
class TestHousekeeping:
    def test_a_worker_says_that_it_lives_until_it_says_goodbye(self):
        housekeeping.say_alive("here/1", threads=2)
        first = Worker.objects.get()
        housekeeping.say_alive("here/1", threads=2)
        again = Worker.objects.get()

        assert again.started_at == first.started_at
        assert again.seen_at > first.seen_at

        housekeeping.say_goodbye("here/1")
        assert not Worker.objects.exists()

    def test_a_silent_worker_is_forgotten(self):
        housekeeping.say_alive("killed/1", threads=2)
        Worker.objects.update(seen_at=timezone.now() - 2 * housekeeping.GONE_AFTER)

        housekeeping.say_alive("here/2", threads=2)

        assert [worker.name for worker in Worker.objects.all()] == ["here/2"]

    def test_it_goes_on_after_a_failure_of_any_kind(self, monkeypatch, caplog):
        rounds = threading.Semaphore(0)

        def fail(*_):
            rounds.release()
            raise RuntimeError("a store has errors of its own")

        monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.01)
        monkeypatch.setattr(housekeeping, "_collect_garbage", lambda: None)
        for name in ("say_alive", "_sweep", "_forget", "say_goodbye"):
            monkeypatch.setattr(housekeeping, name, fail)
        for name in ("report", "report_after_tasks"):
            monkeypatch.setattr(housekeeping.worker_counts, name, lambda: None)
        worker = SimpleNamespace(hostname="here", concurrency=2)
        step = housekeeping.Housekeeping(worker)

        step.start(worker)
        try:
            assert all(rounds.acquire(timeout=60) for _ in range(7))  # the third round has begun
        finally:
            step.stop(worker)
        assert "Housekeeping failed" in caplog.text

    def test_it_goes_on_while_something_large_is_removed(self, monkeypatch):
        removing, over, rounds = threading.Event(), threading.Event(), threading.Semaphore(0)

        def remove():
            removing.set()
            over.wait(60)

        monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.01)
        monkeypatch.setattr(housekeeping, "_collect_garbage", remove)
        monkeypatch.setattr(housekeeping, "say_alive", lambda *_: rounds.release())
        for name in ("_sweep", "_forget", "say_goodbye"):
            monkeypatch.setattr(housekeeping, name, lambda *_: None)
        for name in ("report", "report_after_tasks"):
            monkeypatch.setattr(housekeeping.worker_counts, name, lambda: None)
        worker = SimpleNamespace(hostname="here", concurrency=2)
        step = housekeeping.Housekeeping(worker)

        step.start(worker)
        try:
            assert removing.wait(60)
            assert all(rounds.acquire(timeout=60) for _ in range(3))
        finally:
            over.set()
            step.stop(worker)
