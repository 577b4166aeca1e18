"""From a question to passages: `retrieve` and its async twin `aretrieve`, asked with a `RetrievalRequest`."""

from ragflow.engine.retrieval.query import RetrievalRequest
from ragflow.engine.retrieval.search import aretrieve, retrieve

__all__ = ["RetrievalRequest", "aretrieve", "retrieve"]
