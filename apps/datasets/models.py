"""Datasets: what a tenant searches in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.accounts.models import Tenant
from apps.core.models import Record
from apps.core.names import name_key

_SHARE = (MinValueValidator(0), MaxValueValidator(1))


class ChunkMethod(models.TextChoices):
    NAIVE = "naive"
    BOOK = "book"
    EMAIL = "email"
    LAWS = "laws"
    MANUAL = "manual"
    ONE = "one"
    PAPER = "paper"
    PICTURE = "picture"
    PRESENTATION = "presentation"
    QA = "qa"
    TABLE = "table"
    TAG = "tag"


class KnowledgeBase(Record):
    """A dataset: documents that are cut and embedded in one way and searched together.

    The counters are those of its live documents. A deleted dataset keeps its row only until its chunks and files are
    gone.
    """

    class Permission(models.TextChoices):
        ME = "me", "its tenant"
        TEAM = "team", "its tenant's team"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=128)
    name_key = models.CharField(max_length=256, editable=False)
    avatar = models.TextField(null=True, blank=True)
    description = models.TextField(null=True, blank=True)
    language = models.CharField(max_length=32, default="English")
    permission = models.CharField(max_length=8, choices=Permission.choices, default=Permission.ME)
    embedding_model = models.CharField(max_length=255)
    vector_space = models.PositiveIntegerField(
        default=0, editable=False, help_text="Where the search index keeps the vectors of this embedding model."
    )
    newest_space = models.PositiveIntegerField(
        default=0, editable=False, help_text="The highest number given to a vector space."
    )
    chunk_method = models.CharField(max_length=32, choices=ChunkMethod.choices, default=ChunkMethod.NAIVE)
    parser_config = models.JSONField(default=dict)
    pipeline_id = models.CharField(max_length=32, null=True, blank=True)
    pagerank = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    similarity_threshold = models.FloatField(default=0.2, validators=_SHARE)
    vector_similarity_weight = models.FloatField(default=0.3, validators=_SHARE)
    document_count = models.IntegerField(default=0)
    chunk_count = models.IntegerField(default=0)
    token_count = models.BigIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Record.Meta):
        verbose_name = "dataset"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name_key"],
                condition=models.Q(deleted_at__isnull=True),
                name="one_live_dataset_per_name",
            )
        ]
        indexes: ClassVar = [
            # All that a list reads before it comes to its page, in its order.
            models.Index(
                fields=["tenant", "-created_at", "id"],
                condition=models.Q(deleted_at__isnull=True),
                name="dataset_listed",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def begin_space(self) -> int:
        """Return the number of a new vector space, to be used beside the current one; the row has to be locked.

        One of the two is even and the other odd, as the document store wants it. The caller saves the row.
        """
        self.newest_space += 1 + (self.newest_space - self.vector_space) % 2
        return self.newest_space

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_key = name_key(self.name)
        super().save(*args, **kwargs)
