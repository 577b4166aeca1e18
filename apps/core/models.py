"""What most rows have in common."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from apps.core.ids import new_id


class Record(models.Model):
    """A row with a public id and two times."""

    id = models.CharField(primary_key=True, max_length=32, default=new_id, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering: ClassVar = ["-created_at", "-id"]
