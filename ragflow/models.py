"""What the installation itself keeps: its queue when there is no message broker, its workers and what they counted."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class BrokerMessage(models.Model):
    """A message of the django:// transport (ragflow.broker). A delivered one is hidden until its lease runs out."""

    queue = models.CharField(max_length=255)
    payload = models.TextField()
    visible_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["queue", "id"], name="broker_queue_order")]

    def __str__(self) -> str:
        return f"{self.queue} {self.pk}"


class Worker(models.Model):
    """A worker process, for as long as it says that it lives (ragflow.housekeeping)."""

    name = models.CharField(max_length=255, primary_key=True)
    threads = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class WorkerCount(models.Model):
    """A number that all workers together have counted since the beginning (ragflow.worker_counts)."""

    sample = models.CharField(max_length=64, help_text="Its name among the metrics.")
    labels = models.CharField(max_length=191, help_text="As JSON.")
    value = models.FloatField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sample", "labels"], name="one_count_per_sample_and_labels")
        ]

    def __str__(self) -> str:
        return f"{self.sample} {self.labels}: {self.value:g}"
