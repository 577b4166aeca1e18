"""What every speech model does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording. Providers tell its format by the suffix of its name."""

    name: str
    content: bytes


class SpeechToText(Protocol):
    name: str  # "model@provider"

    def transcribe(self, audio: Audio) -> AsyncGenerator[str, None]:
        """Yield the text of a recording piece by piece, as the provider gives it. Raises ModelError.

        Closing the generator ends the request upstream at once.
        """


class TextToSpeech(Protocol):
    name: str

    def speak(self, text: str) -> AsyncGenerator[bytes, None]:
        """Yield the MP3 of a text block by block. Raises ModelError.

        Closing the generator ends the request upstream at once.
        """
