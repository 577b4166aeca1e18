import pytest

from ragflow.engine.parsing import Limits, ParseOptions, parse
from ragflow.engine.types import Block


@pytest.fixture
def read(tmp_path):
    """Return a function that parses bytes under a name: (blocks, messages of the notices)."""

    def read(name, content, *, limits=None, **options):
        path = tmp_path / "stored"
        path.write_bytes(content)
        items = list(parse(path, name, options=ParseOptions(**options), limits=limits or Limits()))
        blocks = [item for item in items if isinstance(item, Block)]
        return blocks, [item.message for item in items if not isinstance(item, Block) and item.message]

    return read


@pytest.fixture
def texts(read):
    """Return a function that parses bytes under a name to the texts of the blocks."""
    return lambda name, content, **options: [block.text for block in read(name, content, **options)[0]]
