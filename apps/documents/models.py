"""Documents, the tasks that make them searchable, and the file manager that documents can be made from."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models

from apps.accounts.models import Tenant
from apps.core.models import CodePointText, Record
from apps.core.names import name_key
from apps.datasets.models import KnowledgeBase


class Document(Record):
    """A file of a dataset. Its name is data; the bytes lie in the file storage under `location`.

    A deleted document keeps its row only until its chunks and its file are gone.
    """

    class State(models.TextChoices):
        """The contract's run codes."""

        UNSTART = "0", "not parsed"
        RUNNING = "1", "running"
        CANCEL = "2", "cancelled"
        DONE = "3", "done"
        FAIL = "4", "failed"

    class Type(models.TextChoices):
        PDF = "pdf"
        DOC = "doc"
        VISUAL = "visual"
        AURAL = "aural"
        VIRTUAL = "virtual"

    dataset = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="documents")
    created_by = models.CharField(max_length=32)
    name = models.CharField(max_length=255)
    name_key = models.CharField(max_length=512, editable=False)
    suffix = models.CharField(max_length=32, blank=True)
    location = models.CharField(max_length=255, editable=False)
    size = models.BigIntegerField(default=0)
    type = models.CharField(max_length=16, choices=Type.choices)
    source_type = models.CharField(max_length=32, default="local")
    thumbnail = models.TextField(blank=True, default="")
    chunk_method = models.CharField(max_length=32)
    parser_config = models.JSONField(default=dict)
    pipeline_id = models.CharField(max_length=32, null=True, blank=True)
    meta_fields = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True, help_text="Whether retrieval considers it.")
    state = models.CharField(max_length=1, choices=State.choices, default=State.UNSTART)
    progress = models.FloatField(default=0)
    progress_message = models.TextField(blank=True, default="")
    process_begin_at = models.DateTimeField(null=True, blank=True)
    process_duration = models.FloatField(default=0)
    error_class = models.CharField(max_length=64, blank=True, default="")
    recipe = models.CharField(max_length=64, blank=True, default="", editable=False, help_text="Of the last parsing.")
    chunk_count = models.IntegerField(default=0)
    token_count = models.BigIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Record.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "name"],
                condition=models.Q(deleted_at__isnull=True),
                name="one_live_document_per_name",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["dataset", "name_key"], name="document_name_key"),
            # What lists read before they come to their page, in its order.
            models.Index(
                fields=["dataset", "-created_at", "id"],
                condition=models.Q(deleted_at__isnull=True),
                name="document_listed",
            ),
            models.Index(
                fields=["dataset", "-updated_at", "id"],
                condition=models.Q(deleted_at__isnull=True),
                name="document_updated",
            ),
            models.Index(
                fields=["dataset", "state", "-created_at", "id"],
                condition=models.Q(deleted_at__isnull=True),
                name="document_state",
            ),
            models.Index(
                fields=["deleted_at"], condition=models.Q(deleted_at__isnull=False), name="document_being_deleted"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_key = name_key(self.name)
        super().save(*args, **kwargs)

    @property
    def borrows_its_bytes(self) -> bool:
        """Whether the bytes belong to a file of the file manager, which alone deletes them (see FileLink).

        The key tells, not the link: of two that delete the document at once, one finds the link gone.
        """
        return not self.location.startswith(f"{self.dataset_id}/")


class MetadataValue(models.Model):
    """A value of a document's metadata, as filters find it; a list has one row per element.

    Derived from `Document.meta_fields` and written together with it, by `apps.documents.services.metadata` alone.
    """

    dataset = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="+", db_index=False)
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="metadata_values")
    key = models.TextField()
    kind = models.CharField(max_length=8, blank=True, help_text="What the summary counts it as.")
    value = models.TextField(help_text="JSON")
    key_hash = models.BigIntegerField(editable=False)
    form = models.PositiveSmallIntegerField(editable=False, help_text="How a database compares it: see `Form`.")
    number = models.FloatField(null=True, editable=False)
    text = CodePointText(editable=False, help_text="Of the value, in lower case.")
    value_hash = models.BigIntegerField(editable=False, help_text="Of kind and value.")

    SAME = ("key_hash", "form", "number", "text", "value_hash")
    """What rows of the same value of a key have in common, in the order of the index."""

    class Meta:
        indexes: ClassVar = [
            # Holds all that a filter reads: the values of a key, and the documents that have them.
            models.Index(
                fields=["dataset", "key_hash", "form", "number", "text", "value_hash", "document", "id"],
                name="metadata_filter",
            )
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.value}"


class DocumentTable(models.Model):
    """The rows of a spreadsheet that was cut by the method `table`, to be asked by SQL.

    Written with the end of a parsing and replaced by the next one, by `apps.documents.tables` alone.
    """

    document = models.OneToOneField(Document, on_delete=models.CASCADE, primary_key=True, related_name="table")
    columns = models.JSONField(help_text="id, name and kind of each column.")
    rows = models.BinaryField(help_text="See ragflow.engine.tables.packing.")
    row_count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.row_count} rows of {self.document_id}"


class Task(Record):
    """Work for a worker. This row is the truth; the message in the broker only rings.

    A worker holds the task while `lease_until` lies ahead. What it writes counts only as long as the task is running
    under the attempt number that the worker took.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        QUARANTINED = "quarantined"

    ACTIVE = (State.PENDING, State.RUNNING)

    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=255, blank=True, default="")
    stage = models.CharField(max_length=16, blank=True, default="")
    progress = models.FloatField(default=0)
    message = models.TextField(blank=True, default="")
    error_class = models.CharField(max_length=64, blank=True, default="")
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta(Record.Meta):
        abstract = True


class IngestTask(Task):
    """One attempt series to make a document searchable."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="tasks")

    class Meta(Record.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["document"],
                condition=models.Q(state__in=["pending", "running"]),
                name="one_active_task_per_document",
            )
        ]
        indexes: ClassVar = [models.Index(fields=["state", "lease_until"], name="ingest_state_lease")]

    def __str__(self) -> str:
        return f"{self.document} ({self.state})"


class Reembedding(Task):
    """The change of a dataset to another embedding model: every chunk gets a vector of that model.

    Until it is done, the dataset is searched with the old vectors; see `apps.documents.embedding_anew`.
    """

    SETTLING = "settle"  # the stage in which nobody else adds many chunks

    dataset = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="reembeddings")
    embedding_model = models.CharField(max_length=255)
    old_space = models.PositiveIntegerField(help_text="The vector space that is searched meanwhile.")
    space = models.PositiveIntegerField(help_text="The one that the new vectors go to.")
    is_cleared = models.BooleanField(
        default=False, help_text="Whether the vectors that nobody needs any more are gone."
    )

    class Meta(Record.Meta):
        verbose_name = "re-embedding"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset"],
                condition=models.Q(state__in=["pending", "running"]),
                name="one_active_reembedding_per_dataset",
            )
        ]
        indexes: ClassVar = [models.Index(fields=["state", "lease_until"], name="reembedding_state_lease")]

    def __str__(self) -> str:
        return f"{self.dataset} to {self.embedding_model} ({self.state})"

    @property
    def unused_space(self) -> int:
        """The vector space that nobody needs when this has ended."""
        return self.old_space if self.state == self.State.DONE else self.space


class File(Record):
    """An entry of a tenant's file manager: a folder, or a file whose bytes lie in the file storage under `location`.

    The root is the one without a parent. Deleted entries lie in no folder; their rows stay until their bytes are gone,
    which documents made from them may still need (see FileLink). Entries of the mirror of datasets are never stored.
    """

    class Type(models.TextChoices):
        FOLDER = "folder"
        VIRTUAL = "virtual"
        PDF = "pdf"
        DOC = "doc"
        VISUAL = "visual"
        AURAL = "aural"
        OTHER = "other"

    class Source(models.TextChoices):
        LOCAL = "", "uploaded"
        KNOWLEDGEBASE = "knowledgebase", "mirror of the datasets"

    mirrors: KnowledgeBase | Document | None = None
    """What an entry of the mirror stands for; see `apps.documents.mirror`."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="files")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="children")
    created_by = models.CharField(max_length=32)
    name = models.CharField(max_length=255)
    name_key = models.CharField(max_length=512, editable=False)
    type = models.CharField(max_length=16, choices=Type.choices)
    location = models.CharField(max_length=255, blank=True, default="", editable=False)
    size = models.BigIntegerField(default=0)
    source_type = models.CharField(max_length=32, blank=True, choices=Source.choices, default=Source.LOCAL)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Record.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["parent", "name"],
                condition=models.Q(deleted_at__isnull=True),
                name="one_live_file_per_name",
            ),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(parent__isnull=True, deleted_at__isnull=True),
                name="one_root_folder_per_tenant",
            ),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(source_type="knowledgebase"),
                name="one_mirror_folder_per_tenant",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["parent", "name_key"], name="file_name_key"),
            models.Index(fields=["parent", "created_at"], name="file_created"),
            models.Index(
                fields=["deleted_at"], condition=models.Q(deleted_at__isnull=False), name="file_being_deleted"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_key = name_key(self.name)
        super().save(*args, **kwargs)

    @property
    def is_folder(self) -> bool:
        return self.type == File.Type.FOLDER

    @property
    def is_mirror(self) -> bool:
        """Whether the entry is or lies in the mirror of the datasets, which changes with them only."""
        return self.source_type == File.Source.KNOWLEDGEBASE


class FileLink(Record):
    """A document made from a file. It borrows the file's bytes: they are the file's to delete, when no link is left."""

    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="links")
    document = models.OneToOneField(Document, on_delete=models.CASCADE, related_name="file_link")

    def __str__(self) -> str:
        return f"{self.file_id} as {self.document_id}"
