"""What every chat model does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from ragflow.engine.types import Message, ModelEvent, Passage


class ChatModel(Protocol):
    name: str  # "model@provider"
    context_tokens: int  # size of the context window
    can_instruct: bool  # follows free instructions (rewrite a question, name keywords); the extractive model does not

    def stream(
        self, messages: Sequence[Message], *, options: Mapping[str, Any], passages: Sequence[Passage] = ()
    ) -> AsyncGenerator[ModelEvent, None]:
        """Yield text and reasoning as they come, then usage: the provider's, or estimated. Raises ModelError.

        `options` are generation options by their OpenAI names (temperature, top_p, max_tokens, ...). `passages` are
        those that the prompt already contains; only the built-in extractive model reads them.
        Closing the generator (`aclose`) ends the request upstream at once.
        """
