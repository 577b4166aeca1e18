"""External identity providers."""

from django.core.exceptions import ImproperlyConfigured

from apps.accounts.identity.channels import Channel, read_channels
from ragflow.settings.env import Section

_identity = Section("Security")


def _channels(text: str) -> dict[str, Channel]:
    try:
        return read_channels(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"RAGFLOW_OAUTH cannot be used: {error}.") from None


LOGIN_CHANNELS = _channels(
    _identity.text(
        "RAGFLOW_OAUTH",
        secret=True,
        help="Identity providers that people may log in with, as a JSON object of channels; see docs/login.md.",
    )
)
