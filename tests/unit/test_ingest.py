import numpy as np
import pytest

from ragflow.engine import ingest as module
from ragflow.engine.docstore.base import SearchRequest
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import Cancelled, MalformedFile, ModelError
from ragflow.engine.ids import chunk_id
from ragflow.engine.ingest import IngestJob, ingest
from ragflow.engine.types import Block, BlockKind, Notice, Position, Stage


class Embedder:
    """Gives one axis to the document's name, one to everything else; keeps what it was asked."""

    name = "axes@Test"
    dimension = 2
    default_vector_weight = 0.5

    def __init__(self):
        self.asked = []

    def embed(self, texts):
        self.asked.append(list(texts))
        return np.array([[1, 0] if text == "report.txt" else [0, 1] for text in texts], dtype=np.float32)


class Store:
    """The part of a document store that an ingest uses."""

    def __init__(self):
        self.chunks = {}
        self.vectors = {}
        self.slices = []

    def upsert(self, chunks, vectors):
        assert len(chunks) == len(vectors)
        self.slices.append(len(chunks))
        for chunk, vector in zip(chunks, vectors, strict=True):
            self.chunks[chunk.id] = chunk
            self.vectors[chunk.id] = vector

    def delete_document(self, dataset_id, document_id, *, older_than=None):
        self.chunks = {key: chunk for key, chunk in self.chunks.items() if chunk.created_at >= older_than}


JOB = IngestJob("dataset", "document", "report.txt", parser_config={"chunk_token_num": 8, "delimiter": "\n"})


@pytest.fixture
def parsed(monkeypatch):
    """Let the parser yield these items, whatever the file."""

    def fake(*items):
        def parse(path, name, *, options, limits):
            for item in items:
                if isinstance(item, Exception):
                    raise item
                yield item

        monkeypatch.setattr(module, "parse", parse)

    return fake


def lines(count):
    return Block("\n".join(f"This is line number {n}." for n in range(count)), BlockKind.PLAIN)


def run(tmp_path, job=JOB, embedder=None, store=None, **options):
    return list(ingest(tmp_path / "file", job, embedder=embedder or Embedder(), store=store or Store(), **options))


def test_a_document_becomes_chunks(parsed, tmp_path):
    parsed(Block("First one."), Block("<table><tr><td>Second</td></tr></table>", BlockKind.TABLE))
    store, embedder = Store(), Embedder()
    *_, done = run(tmp_path, store=store, embedder=embedder)
    first, second = store.chunks.values()
    assert (first.id, first.content, first.order) == (chunk_id("First one.", "document"), "First one.", 0)
    assert (first.dataset_id, first.document_id, first.document_name) == ("dataset", "document", "report.txt")
    assert (first.positions, second.positions) == ((Position(1, 0, 0, 0, 0),), (Position(2, 1, 1, 1, 1),))
    assert (second.kind, second.order) == ("table", 1)
    assert (first.token_count, first.manual, first.available) == (3, False, True)
    assert (done.stage, done.fraction, done.chunks) == (Stage.DONE, 1.0, 2)
    assert done.tokens == first.token_count + second.token_count
    assert embedder.asked[0][2].split() == ["Second"]


def test_positions_of_pages_are_kept(parsed, tmp_path):
    where = Position(3, 10, 20, 30, 40)
    parsed(Block("Text.", positions=(where,)))
    store = Store()
    messages = [step.message for step in run(tmp_path, store=store)]
    assert [chunk.positions for chunk in store.chunks.values()] == [(where,)]
    assert "Page(1~3): Finish parsing." in messages


def test_work_goes_in_slices_and_progress_never_falls(parsed, tmp_path):
    parsed(lines(100), Notice("Half is read.", 0.5), lines(200), Notice(fraction=0.9), lines(300))
    store, embedder = Store(), Embedder()
    steps = run(tmp_path, store=store, embedder=embedder)
    assert store.slices == [64, 64, 64, 64, 44]
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert 0 < fractions[len(fractions) // 2] < 1
    assert [step.chunks for step in steps if step.stage is Stage.STORE] == [64, 128, 192, 256, 300]
    assert sum(texts.count("report.txt") for texts in embedder.asked) == 1


def test_messages_tell_what_happened(parsed, tmp_path):
    parsed(Notice("Page 2 is a scan; there is no OCR here."), Block("Text."))
    messages = [step.message for step in run(tmp_path) if step.message]
    assert messages[0] == "Page 2 is a scan; there is no OCR here."
    assert messages[1] == "Page(1~100000001): Finish parsing."
    assert messages[2].startswith("1 chunk: embedding ")
    assert messages[3].startswith("Task done (")


def test_a_method_without_rules_of_its_own_says_so(parsed, tmp_path):
    parsed(Block("Text."))
    messages = [step.message for step in run(tmp_path, IngestJob("d", "x", "report.txt", "paper"))]
    assert messages[0] == 'The chunk method "paper" cuts like "naive" in this version.'


@pytest.mark.parametrize("items", [(), (Notice("report.txt is empty."),), (Block(" \n "),)])
def test_a_file_without_text_is_done_without_chunks(items, parsed, tmp_path):
    parsed(*items)
    store = Store()
    *_, done = run(tmp_path, store=store)
    assert (done.stage, done.message, done.chunks) == (Stage.DONE, "No chunk built from report.txt", 0)
    assert store.slices == []


def test_the_same_text_twice_is_one_chunk(parsed, tmp_path):
    parsed(lines(5), Block("Same.", BlockKind.IMAGE), Block("Same.", BlockKind.IMAGE), Block("Other.", BlockKind.IMAGE))
    store = Store()
    *_, done = run(tmp_path, store=store)
    assert [chunk.content for chunk in store.chunks.values()][5:] == ["Same.", "Other."]
    assert [chunk.order for chunk in store.chunks.values()] == list(range(7))
    assert done.chunks == 7


def test_children_point_to_their_parent(parsed, tmp_path):
    parsed(Block("One. Two."))
    store = Store()
    run(tmp_path, IngestJob("d", "x", "report.txt", parser_config={"children_delimiter": "."}), store=store)
    for chunk in store.chunks.values():
        assert (chunk.parent_content, chunk.parent_id) == ("One. Two.", chunk_id("One. Two.", "x"))
    assert [chunk.content for chunk in store.chunks.values()] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("given", "weight"),
    [(None, 0.1), (0.5, 0.5), (0, 0), (1, 1), (True, 0.1), (7, 0.1), ("x", 0.1), (float("nan"), 0.1)],
)
def test_the_name_has_its_weight_in_the_vector(given, weight, parsed, tmp_path):
    parsed(Block("Text."))
    store = Store()
    run(tmp_path, IngestJob("d", "x", "report.txt", parser_config={"filename_embd_weight": given}), store=store)
    expected = np.array([weight, 1 - weight]) / np.hypot(weight, 1 - weight)
    np.testing.assert_allclose(next(iter(store.vectors.values())), expected, atol=1e-6)


def test_running_again_replaces_what_changed(parsed, tmp_path):
    store = Store()
    parsed(Block("Stays."), Block("Goes.", BlockKind.IMAGE))
    run(tmp_path, store=store)
    parsed(Block("Stays."), Block("Comes.", BlockKind.IMAGE))
    run(tmp_path, store=store)
    assert [chunk.content for chunk in store.chunks.values()] == ["Stays.", "Comes."]


def test_old_chunks_stay_until_all_new_ones_are_there(parsed, tmp_path):
    store = Store()
    parsed(Block("Old text."))
    run(tmp_path, store=store)
    parsed(lines(100))
    for step in ingest(tmp_path / "file", JOB, embedder=Embedder(), store=store):
        if step.stage is not Stage.DONE:
            assert chunk_id("Old text.", "document") in store.chunks
    assert chunk_id("Old text.", "document") not in store.chunks


def test_stopping_happens_between_slices(parsed, tmp_path):
    parsed(lines(100), lines(300))
    store, answers = Store(), iter([False, True])
    with pytest.raises(Cancelled):
        run(tmp_path, store=store, should_stop=lambda: next(answers))
    assert store.slices == [64]


def test_stopping_needs_no_chunk_while_a_long_file_is_read(parsed, tmp_path):
    parsed(Notice(fraction=0.1), Block("Text."))
    with pytest.raises(Cancelled):
        run(tmp_path, should_stop=lambda: True)


def test_closing_stops_the_parser(parsed, tmp_path, monkeypatch):
    closed = []

    def parse(path, name, *, options, limits):
        try:
            while True:
                yield lines(10)
                yield Notice("Going on.")
        finally:
            closed.append(True)

    monkeypatch.setattr(module, "parse", parse)
    steps = ingest(tmp_path / "file", JOB, embedder=Embedder(), store=Store())
    next(steps)
    steps.close()
    assert closed == [True]


@pytest.mark.parametrize("error", [MalformedFile("The file is damaged."), OSError("disk")])
def test_errors_of_the_parser_pass(error, parsed, tmp_path):
    parsed(Block("Text."), error)
    with pytest.raises(type(error)):
        run(tmp_path)


def test_an_embedding_error_leaves_old_chunks_alone(parsed, tmp_path):
    class Failing(Embedder):
        def embed(self, texts):
            raise ModelError("The provider is away.", code="CONNECTION_ERROR")

    store = Store()
    parsed(Block("Old text."))
    run(tmp_path, store=store)
    parsed(Block("New text."))
    with pytest.raises(ModelError):
        run(tmp_path, store=store, embedder=Failing())
    assert [chunk.content for chunk in store.chunks.values()] == ["Old text."]


@pytest.mark.parametrize(
    ("config", "layout", "pages", "html"),
    [
        ({}, "DeepDOC", None, False),
        (
            {"layout_recognize": False, "html4excel": True, "pages": [[1, 3], [5, 5]]},
            "Plain Text",
            ((1, 3), (5, 5)),
            True,
        ),
        ({"layout_recognize": True, "html4excel": "yes", "pages": [[3, 1], ["a", 2], 7, [1]]}, "DeepDOC", None, False),
        ({"layout_recognize": 5, "pages": "all"}, "DeepDOC", None, False),
        ({"layout_recognize": "Plain Text", "pages": None}, "Plain Text", None, False),
    ],
)
def test_the_parser_gets_its_options(config, layout, pages, html, monkeypatch, tmp_path):
    given = []

    def parse(path, name, *, options, limits):
        given.append(options)
        yield Block("Text.")

    monkeypatch.setattr(module, "parse", parse)
    run(tmp_path, IngestJob("d", "x", "report.txt", parser_config=config))
    assert (given[0].layout_recognize, given[0].pages, given[0].html4excel) == (layout, pages, html)


def test_a_real_file_can_be_found_afterwards(tmp_path):
    sentence = "The lighthouse keeper counts gulls; at noon he sleeps!"
    path = tmp_path / "blob"
    path.write_text(sentence)
    embedder, store = HashingEmbedder(), EmbeddedDocStore(tmp_path / "store.db")
    job = IngestJob("dataset", "document", "gulls.txt", parser_config={"chunk_token_num": 512, "delimiter": r"\n"})
    for _ in range(2):
        *_, done = ingest(path, job, embedder=embedder, store=store)
        assert (done.stage, done.chunks) == (Stage.DONE, 1)
        assert [chunk.content for chunk in store.list_chunks("dataset", "document", offset=0, limit=9).chunks] == [
            sentence
        ]
    question = "who counts gulls"
    assert store.search(SearchRequest(("dataset",), question, embedder.embed_query(question)))
    store.close()
