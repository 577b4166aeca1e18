"""What the vectors of chunks stand for."""

from __future__ import annotations

from dataclasses import replace

from ragflow.engine.embedding.chunks import searchable
from ragflow.engine.types import Chunk

CHUNK = Chunk(id="c", dataset_id="data", document_id="doc", document_name="doc.txt", content="")


def test_tags_of_a_table_are_no_part_of_its_vector() -> None:
    table = replace(CHUNK, kind="table", content='<table><tr><td class="a">5 < 6</td><TH>b</TH></tr></table>')
    assert searchable(table).split() == ["5", "<", "6", "b"]
    assert searchable(replace(CHUNK, content="<td>")) == "<td>"
    assert len(searchable(replace(table, content="<td " * 250_000))) == 1_000_000  # tags that never end
