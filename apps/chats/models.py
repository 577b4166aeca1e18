"""Assistants, their sessions with one row per message, and search apps."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.accounts.models import Tenant
from apps.chats.search_config import WEB_SEARCH_KEY, defaults
from apps.core.crypto import sealed_object
from apps.core.models import Record
from apps.core.names import name_key
from apps.datasets.models import KnowledgeBase

_NAME_LENGTH = 255


def default_generation_options() -> dict[str, Any]:
    return {"temperature": 0.1, "top_p": 0.3, "frequency_penalty": 0.7, "presence_penalty": 0.4, "max_tokens": 512}


class Assistant(Record):
    """A prompt, a chat model and the datasets it answers from. The contract calls it a chat."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="assistants")
    name = models.CharField(max_length=_NAME_LENGTH)
    name_key = models.CharField(max_length=2 * _NAME_LENGTH, editable=False)
    description = models.TextField(blank=True, default="A helpful Assistant")
    avatar = models.TextField(blank=True, help_text="An image as base64.")
    language = models.CharField(max_length=32, blank=True, default="English")
    chat_model = models.CharField(max_length=_NAME_LENGTH, help_text="As model@provider.")
    generation_options = models.JSONField(default=default_generation_options, blank=True)
    prompt_type = models.CharField(max_length=16, blank=True, default="simple")
    stored_prompt = models.JSONField(
        "prompt",
        db_column="prompt_config",
        default=dict,
        help_text="By stored names: system, prologue, quote, parameters, … The key of web searches is kept apart.",
    )
    encrypted_web_search_key = models.TextField(blank=True, editable=False)
    metadata_filter = models.JSONField(default=dict, blank=True)
    similarity_threshold = models.FloatField(default=0.2)
    vector_similarity_weight = models.FloatField(default=0.3)
    top_n = models.IntegerField(default=6, help_text="Passages in the prompt.")
    top_k = models.IntegerField(default=1024, help_text="Nearest vectors considered.")
    rerank_model = models.CharField(max_length=_NAME_LENGTH, blank=True)
    do_refer = models.CharField(max_length=16, blank=True, default="1", help_text="Kept for clients; not used.")
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    prompt_config = sealed_object("stored_prompt", "encrypted_web_search_key", WEB_SEARCH_KEY)

    class Meta(Record.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name_key"],
                condition=models.Q(deleted_at__isnull=True),
                name="one_live_assistant_per_name",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_key = name_key(self.name)
        super().save(*args, **kwargs)


class AssistantDataset(models.Model):
    """Which datasets an assistant answers from, in the order they were named.

    The web API lists one as often as it was named. A link outlives its dataset: an assistant whose datasets are gone
    finds nothing, instead of making things up.
    """

    assistant = models.ForeignKey(Assistant, on_delete=models.CASCADE, related_name="dataset_links")
    dataset = models.ForeignKey(
        KnowledgeBase, on_delete=models.SET_NULL, null=True, blank=True, related_name="assistant_links"
    )
    position = models.PositiveIntegerField()

    class Meta:
        ordering: ClassVar = ["position"]

    def __str__(self) -> str:
        return f"{self.assistant_id} answers from {self.dataset_id}"


class Session(Record):
    """A conversation with an assistant."""

    assistant = models.ForeignKey(Assistant, on_delete=models.CASCADE, related_name="sessions")
    name = models.CharField(max_length=_NAME_LENGTH, default="New session")
    user_id = models.CharField(max_length=_NAME_LENGTH, blank=True, help_text="Whatever the client calls its user.")
    is_embedded = models.BooleanField("embedded", default=False, help_text="Held on a web page that embeds the chat.")

    def __str__(self) -> str:
        return self.name


class SessionSource(models.Model):
    """A dataset that answers of a session were looked for in: what they say may be from there, whether cited or not.

    It is no foreign key, because the answers outlive the dataset. Empty: somewhere, before this was recorded.
    """

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="sources", db_index=False)
    dataset_id = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "dataset_id"], name="each_source_once_per_session")
        ]

    def __str__(self) -> str:
        return f"{self.session_id} draws on {self.dataset_id or 'an unknown dataset'}"


class Message(models.Model):
    """What one side said. The ascending primary key is the order of a conversation."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages", db_index=False)
    role = models.CharField(max_length=16, choices=Role.choices)
    content = models.TextField(blank=True)
    thoughts = models.TextField(blank=True, help_text="What a reasoning model wrote before its answer.")
    reference = models.JSONField(null=True, blank=True, help_text="What the answer cites, as the API shows it.")
    pair_id = models.UUIDField(null=True, blank=True, help_text="Shared by a question and its answer.")
    interrupted = models.BooleanField(default=False, help_text="The client left before the answer was complete.")
    tokens = models.PositiveIntegerField(null=True, blank=True, help_text="What the answer cost, prompt included.")
    seconds = models.FloatField(null=True, blank=True, help_text="How long the answer took.")
    created_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [models.Index(fields=["session", "id"], name="messages_of_a_session")]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"


class SearchApp(Record):
    """A search page that somebody has set up: what it searches, with which numbers, and what it shows beside."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="search_apps")
    name = models.CharField(max_length=_NAME_LENGTH)
    name_key = models.CharField(max_length=2 * _NAME_LENGTH, editable=False)
    description = models.TextField(blank=True)
    avatar = models.TextField(blank=True, help_text="An image as base64.")
    stored_config = models.JSONField(
        "search configuration",
        db_column="search_config",
        default=defaults,
        help_text="kb_ids, similarity_threshold, chat_id (a model), … The key of web searches is kept apart.",
    )
    encrypted_web_search_key = models.TextField(blank=True, editable=False)

    search_config = sealed_object("stored_config", "encrypted_web_search_key", WEB_SEARCH_KEY)

    class Meta(Record.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "name_key"], name="one_search_app_per_name")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_key = name_key(self.name)
        super().save(*args, **kwargs)
