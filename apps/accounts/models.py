"""Who uses the installation: users, the tenants that own everything, and the secrets that act for a tenant."""

from __future__ import annotations

from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.contrib.auth import hashers
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.accounts.passwords import encoded
from apps.core.caller import ActorKind
from apps.core.models import Record
from apps.core.principal import Scope

PARSERS = (
    "naive:General,qa:Q&A,resume:Resume,manual:Manual,table:Table,paper:Paper,book:Book,laws:Laws,"
    "presentation:Presentation,picture:Picture,one:One,audio:Audio,email:Email,tag:Tag"
)


class UserManager(BaseUserManager["User"]):
    """What Django's own commands (`createsuperuser`) expect of a custom user."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        from apps.accounts.services import create_account

        return create_account(email=email, password=password, is_operator=True, **fields)


class User(AbstractBaseUser, PermissionsMixin, Record):
    """A person. The tenant that a person owns has the same id.

    Clients of the contract send the base64 text of a password, and that text is what is hashed. Django's own forms and
    commands hand in the password itself, so `set_password` and `check_password` encode it first.
    """

    email = models.EmailField(max_length=255, unique=True)
    nickname = models.CharField(max_length=100, blank=True)
    avatar = models.TextField(null=True, blank=True)
    language = models.CharField(max_length=32, default="English", blank=True)
    color_schema = models.CharField(max_length=32, default="Bright", blank=True)
    timezone = models.CharField(max_length=64, default="UTC+8\tAsia/Shanghai", blank=True)
    login_channel = models.CharField(
        max_length=32, default="password", editable=False, help_text="How the account was made."
    )
    is_email_proven = models.BooleanField(
        "address proven",
        default=False,
        help_text="The holder has shown that the address is his own, or who runs this installation vouches for it. "
        "Else whoever proves it takes the account over.",
    )
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField("operator", default=False, help_text="May use the administration pages.")
    session_digest = models.CharField(
        max_length=64, null=True, unique=True, editable=False, help_text="SHA-256 of the key of the one live login."
    )

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = []

    class Meta(Record.Meta):
        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="one_account_per_email")]

    def __str__(self) -> str:
        return self.email

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(None if raw_password is None else encoded(raw_password))

    def set_encoded_password(self, text: str) -> None:
        """Set the password whose base64 text this is."""
        super().set_password(text)

    def check_password(self, raw_password: str | None) -> bool:
        return raw_password is not None and self.check_encoded_password(encoded(raw_password))

    async def acheck_password(self, raw_password: str | None) -> bool:
        return await sync_to_async(self.check_password)(raw_password)

    def check_encoded_password(self, text: str) -> bool:
        """Tell whether this is the base64 text of the password. A hash of an older kind is renewed."""
        return hashers.check_password(text, self.password, self._renew_hash)

    def _renew_hash(self, text: str) -> None:
        older = self.password
        self.set_encoded_password(text)
        self._password = None
        User.objects.filter(pk=self.pk, password=older).update(password=self.password)  # it may be another one by now


class Tenant(Record):
    """The owner of datasets, assistants and tokens. An empty model name means the installation's default."""

    name = models.CharField(max_length=128)
    chat_model = models.CharField(max_length=255, blank=True)
    embedding_model = models.CharField(max_length=255, blank=True)
    rerank_model = models.CharField(max_length=255, blank=True)
    speech_to_text_model = models.CharField(max_length=255, blank=True)
    image_to_text_model = models.CharField(max_length=255, blank=True)
    text_to_speech_model = models.CharField(max_length=255, null=True, blank=True)
    parsers = models.TextField(default=PARSERS, blank=True, help_text="Chunk methods that clients offer: key:label,...")
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        User, through="Membership", through_fields=("tenant", "user"), related_name="tenants"
    )

    def __str__(self) -> str:
        return self.name


class Membership(Record):
    """What a person may do in a tenant. While it is pending it is an invitation, and gives nothing."""

    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        EDITOR = "editor"
        VIEWER = "viewer"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.EDITOR)
    is_pending = models.BooleanField("invitation", default=False)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta(Record.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant} ({self.role})"


class IssuedSecret(Record):
    """A random text that acts for a tenant. Only its SHA-256 is kept; the exact wire profile adds an encrypted copy."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="%(class)ss")
    prefix = models.CharField(max_length=16, editable=False, help_text="The first characters, to recognise it by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    encrypted_secret = models.TextField(blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it does not expire.")
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Record.Meta):
        abstract = True

    @property
    def is_usable(self) -> bool:
        if self.revoked_at is not None:
            return False
        return self.expires_at is None or self.expires_at > timezone.now()


def all_scopes() -> list[str]:
    return [scope.value for scope in Scope]


class APIToken(IssuedSecret):
    """A key to a tenant's data, within its scopes. After a rotation the previous secret works on for a while."""

    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=100, blank=True)
    scopes = models.JSONField(default=all_scopes)
    dataset_ids = models.JSONField(null=True, blank=True, help_text="Ids of the only datasets it reaches. Empty: all.")
    assistant_ids = models.JSONField(
        null=True, blank=True, help_text="Ids of the only assistants it reaches. Empty: all."
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: as many as it likes.")
    bound_to = models.CharField(max_length=255, blank=True, editable=False)
    is_bound_to_agent = models.BooleanField(default=False, editable=False)
    previous_digest = models.CharField(max_length=64, unique=True, null=True, editable=False)
    previous_valid_until = models.DateTimeField(null=True, editable=False)

    class Meta(IssuedSecret.Meta):
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}".strip()


class ShareToken(IssuedSecret):
    """What a web page carries that embeds a chat. It opens the embedding endpoints only; it is no API token."""

    api_token = models.OneToOneField(
        APIToken, on_delete=models.CASCADE, related_name="share_token", null=True, blank=True, editable=False
    )

    def __str__(self) -> str:
        return f"{self.prefix}…"


class TenantModel(Record):
    """A model at a provider that a tenant has configured. Its key is encrypted under the installation's."""

    class Type(models.TextChoices):
        CHAT = "chat"
        EMBEDDING = "embedding"
        RERANK = "rerank"
        IMAGE_TO_TEXT = "image2text"
        SPEECH_TO_TEXT = "speech2text"
        TEXT_TO_SPEECH = "tts"
        OCR = "ocr"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="configured_models")
    provider = models.CharField(max_length=128)
    name = models.CharField(max_length=255)
    type = models.CharField(max_length=16, choices=Type.choices)
    encrypted_key = models.TextField(blank=True, editable=False)
    base_url = models.CharField("base URL", max_length=512, blank=True, help_text="Empty: the provider's own address.")
    max_tokens = models.PositiveIntegerField(default=8192, help_text="What the model takes in one request.")
    used_tokens = models.PositiveBigIntegerField(default=0, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta(Record.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "provider", "name"], name="one_row_per_model_of_a_tenant")
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.provider}"


class LangfuseKeys(Record):
    """The Langfuse project to which a tenant's answers are reported. Only the secret key opens it."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, related_name="langfuse_keys")
    host = models.CharField(max_length=512)
    public_key = models.CharField(max_length=255)
    encrypted_secret_key = models.TextField(editable=False)

    class Meta(Record.Meta):
        verbose_name = verbose_name_plural = "Langfuse keys"

    def __str__(self) -> str:
        return self.host


class PasswordRecovery(models.Model):
    """How far somebody is who forgot the password of an address, whether it has an account or not."""

    email = models.CharField(max_length=255, primary_key=True, help_text="In lower case.")
    captcha = models.CharField(max_length=64, blank=True)
    captcha_until = models.DateTimeField(null=True)
    code = models.CharField(max_length=64, blank=True)
    code_until = models.DateTimeField(null=True)
    code_sent_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)
    locked_until = models.DateTimeField(null=True)
    verified_for = models.CharField(max_length=64, blank=True)
    verified_until = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    def __str__(self) -> str:
        return self.email


class RateCounter(models.Model):
    """How often something happened within a window of time (apps.accounts.throttles)."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"


class SystemSetting(models.Model):
    """A setting of the installation that an administrator has changed (apps.accounts.system_settings)."""

    name = models.CharField(max_length=64, primary_key=True)
    value = models.TextField(blank=True)
    encrypted_value = models.TextField(blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name


class AppendOnlyQuerySet(models.QuerySet["AuditEntry"]):
    """Rows that are written once. The database refuses changes, too, whoever makes them.

    Only `services.retention` deletes, once entries are as old as the operator wants them.
    """

    def update(self, **kwargs: Any) -> int:
        raise TypeError("Audit entries are never changed.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit entries are never deleted.")


class AuditEntry(models.Model):
    """Who did what to which object. It names objects by id, without foreign keys: it outlives them."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField("time", default=timezone.now, db_index=True)
    actor_kind = models.CharField(
        "kind of actor", max_length=16, choices=[(kind.value, kind.value) for kind in ActorKind]
    )
    actor_id = models.CharField(max_length=32, blank=True)
    actor_name = models.CharField("actor", max_length=255, blank=True)
    tenant_id = models.CharField("tenant", max_length=32, blank=True, help_text="Whose object it was.")
    action = models.CharField(max_length=32)
    object_kind = models.CharField(max_length=32)
    object_id = models.CharField(max_length=255, blank=True)
    object_name = models.CharField("object", max_length=255, blank=True)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField("request", max_length=64, blank=True)
    detail = models.JSONField(default=dict, blank=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["tenant_id", "id"], name="audit_of_a_tenant"),
            models.Index(fields=["object_id"], name="audit_of_an_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name or self.actor_kind}: {self.action} {self.object_kind} {self.object_name}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Audit entries are never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit entries are never deleted.")
