"""What can go wrong with chats, where clients have a word of their own for it."""

from __future__ import annotations

from typing import Any

from apps.core.errors import NotFound


class UnknownModel(NotFound):
    """What an OpenAI client names as a model is none that the caller has."""

    word = "model_not_found"

    def __init__(self, model: Any, hint: str = "Models are the assistants of the caller, by name or id.") -> None:
        super().__init__(f"The model '{model}' does not exist. {hint}")
