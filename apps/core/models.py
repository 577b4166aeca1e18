"""What most rows have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.core.ids import new_id


class ChangedAt(models.DateTimeField):  # type: ignore[type-arg]  # not subscriptable at run time
    """The time of the last save; of a new row exactly that of its creation, which clients compare."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        if not add:
            return super().pre_save(model_instance, add)
        created_at = model_instance.created_at  # type: ignore[attr-defined]  # set before: it is declared before
        setattr(model_instance, self.attname, created_at)
        return created_at

    def deconstruct(self) -> Any:
        """For migrations it is an ordinary field."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs


class CodePointText(models.TextField):  # type: ignore[type-arg]  # not subscriptable at run time
    """Text that every database sorts as Python does: by code point, not by the rules of a language."""

    def db_parameters(self, connection: Any) -> Any:
        return super().db_parameters(connection) | {"collation": "C" if connection.vendor == "postgresql" else None}


class Record(models.Model):
    """A row with a public id and two times."""

    id = models.CharField(primary_key=True, max_length=32, default=new_id, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated_at = ChangedAt(auto_now=True)

    class Meta:
        abstract = True
        ordering: ClassVar = ["-created_at", "-id"]
