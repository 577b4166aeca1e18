"""Celery's queue in Django's own database: `django://`, a kombu transport for installations without a message broker.

Publishing is an INSERT on the connection of the calling thread. Inside `transaction.atomic` the message therefore
appears with the rows it speaks of, or not at all.

A delivered message stays in the table, hidden until its lease runs out. A living consumer keeps extending the lease;
acknowledging deletes the row. After `kill -9` the message comes back by itself.
"""

from __future__ import annotations

from datetime import timedelta
from queue import Empty
from threading import Event
from time import monotonic
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from ragflow.models import BrokerMessage

LEASE = timedelta(seconds=30)
RENEWAL_SECONDS = 10.0
POLL_SECONDS = 0.2
CANDIDATES = 16  # how far a consumer looks past messages that others take from under its hands


class Channel(virtual.Channel):
    connection: Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._renewed_at = 0.0
        self._held: set[str] = set()

    def _put(self, queue: str, message: dict[str, Any], **kwargs: object) -> None:
        BrokerMessage.objects.create(queue=queue, payload=dumps(message), visible_at=timezone.now())

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        now = timezone.now()
        ready = BrokerMessage.objects.filter(queue=queue, visible_at__lte=now).order_by("pk")
        for message in ready[:CANDIDATES]:
            # The condition holds for one consumer only: whoever updates first.
            if ready.order_by().filter(pk=message.pk).update(visible_at=now + LEASE):
                payload: dict[str, Any] = loads(message.payload)
                payload["properties"]["delivery_tag"] = tag = str(message.pk)
                self._held.add(tag)
                return payload
        raise Empty

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> Any:
        self._renew_leases()
        return super().drain_events(timeout=timeout, callback=callback)

    def _renew_leases(self) -> None:
        if monotonic() - self._renewed_at < RENEWAL_SECONDS:
            return
        self._renewed_at = monotonic()
        if held := tuple(self._held):
            BrokerMessage.objects.filter(pk__in=held).update(visible_at=timezone.now() + LEASE)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        self._finish(delivery_tag)
        super().basic_ack(delivery_tag, multiple)
        self.connection.has_room.set()

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if not requeue:
            self._finish(delivery_tag)
        super().basic_reject(delivery_tag, requeue)
        self.connection.has_room.set()

    def _finish(self, delivery_tag: str) -> None:
        self._held.discard(delivery_tag)
        BrokerMessage.objects.filter(pk=delivery_tag).delete()

    def _restore(self, message: virtual.Message) -> None:
        tag = str(message.delivery_tag)
        self._held.discard(tag)
        BrokerMessage.objects.filter(pk=tag).update(visible_at=timezone.now())

    def _size(self, queue: str) -> int:
        return BrokerMessage.objects.filter(queue=queue).count()

    def _purge(self, queue: str) -> int:
        return BrokerMessage.objects.filter(queue=queue).delete()[0]

    def _delete(self, queue: str, *args: object, **kwargs: object) -> None:
        self._purge(queue)


class Transport(virtual.Transport):
    Channel = Channel

    driver_type = driver_name = "django"
    polling_interval = POLL_SECONDS
    connection_errors = (*virtual.Transport.connection_errors, OperationalError, InterfaceError)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.has_room = Event()  # a message was finished, so that another one may be taken

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver a message: the next one at once when room is made for it, a new one when it is found by polling.

        Raises TimeoutError.
        """
        end = None if timeout is None else monotonic() + timeout
        assert self.cycle is not None
        while True:
            self.has_room.clear()
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                left = self.polling_interval if end is None else end - monotonic()
                if left <= 0:
                    raise TimeoutError from None
            self.has_room.wait(min(self.polling_interval, left))

    def establish_connection(self) -> Any:
        """Celery calls this again, with growing pauses, after a connection error."""
        if not connection.in_atomic_block:  # there it would close a connection that works
            connection.close_if_unusable_or_obsolete()
        connection.ensure_connection()
        return super().establish_connection()

    def driver_version(self) -> str:
        return connection.display_name
