"""Files to blocks: one module per format, chosen by `reader`."""

from ragflow.engine.parsing.reader import parse
from ragflow.engine.parsing.source import Limits, ParseOptions

__all__ = ["Limits", "ParseOptions", "parse"]
