"""From a question and passages to an answer, as a stream of events. Start reading at chat.py."""

from ragflow.engine.generation.chat import chat
from ragflow.engine.generation.citations import Similarities
from ragflow.engine.generation.matching import HybridSimilarity
from ragflow.engine.generation.turn import Parameter, Turn
from ragflow.engine.generation.wording import DEFAULT_SYSTEM

__all__ = ["DEFAULT_SYSTEM", "HybridSimilarity", "Parameter", "Similarities", "Turn", "chat"]
