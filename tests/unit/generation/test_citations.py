import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragflow.engine.generation.citations import CitationStream, cited_documents, insert_citations
from tests.unit.generation.conftest import passage, retrieval


def shown(text, passages=3, cuts=()):
    stream = CitationStream(passages)
    ends = sorted({cut % (len(text) + 1) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
    return "".join([*map(stream.feed, pieces), stream.finish()]), tuple(sorted(stream.cited))


@pytest.mark.parametrize(
    ("written", "expected", "cited"),
    [
        ("It is so [ID:1].", "It is so [ID:1].", (1,)),
        ("It is so [ID: 1] and so 【ID：2】.", "It is so [ID:1] and so [ID:2].", (1, 2)),
        ("It is so (ID: 0).", "It is so [ID:0].", (0,)),
        ("It is so ref2, or REF1.", "It is so [ID:2], or [ID:1].", (1, 2)),
        ("It is so [ID:0, ID:2].", "It is so [ID:0][ID:2].", (0, 2)),
        ("It is so [ID:0,2，9].", "It is so [ID:0][ID:2].", (0, 2)),
        ("It is so [ID:0][ID:2]", "It is so [ID:0][ID:2]", (0, 2)),
        ("It is so [ID:7].", "It is so.", ()),
        ("[ID:7] It is so [id:99]", " It is so", ()),
        ("Badge (ID: 77) and ref99 stay.", "Badge (ID: 77) and ref99 stay.", ()),
        ("xref1, ref1x and ref_1 stay.", "xref1, ref1x and ref_1 stay.", ()),
        ("[ID:] [IDs] [ID:x] [1] (ID) stay.", "[ID:] [IDs] [ID:x] [1] (ID) stay.", ()),
        ("An open end [ID:1", "An open end [ID:1", ()),
        ("An open end [", "An open end [", ()),
        ("[ID:12345] is no index", "[ID:12345] is no index", ()),
    ],
)
def test_markers(written, expected, cited):
    assert shown(written) == (expected, cited)


def test_without_passages_every_marker_goes():
    assert shown("It is so [ID:0]. Really [ID:1, ID:2]!", passages=0) == ("It is so. Really!", ())


MARKED = st.lists(
    st.sampled_from(
        [
            "[ID:",
            "[ID: 1]",
            "【ID：2】",
            "(ID: 0)",
            "ref1",
            "ref",
            "re",
            "[",
            "(",
            "[I",
            "9",
            ",",
            " ",
            "  ",
            "]",
            "text",
            "。",
            "[ID:0, 2]",
            "x",
        ]
    ),
    max_size=14,
).map("".join)


@given(MARKED, st.lists(st.integers(0, 200), max_size=12))
def test_the_result_does_not_depend_on_the_split(text, cuts):
    assert shown(text, cuts=cuts) == shown(text)


@given(MARKED)
def test_one_character_at_a_time_gives_the_same(text):
    assert shown(text, cuts=range(len(text))) == shown(text)


def test_only_possible_markers_are_held_back():
    stream = CitationStream(3)
    assert stream.feed("The ship sails") == "The ship sails"
    assert stream.feed(" at noon [I") == " at noon"
    assert stream.feed("D:1") == ""
    assert stream.feed("]. Then") == " [ID:1]. Then"
    assert stream.feed(" [see below") == " [see below"
    assert stream.finish() == ""


def test_an_endless_marker_is_let_go():
    stream = CitationStream(3)
    assert len(stream.feed("[ID:" + "1, " * 10_000)) > 29_000


def same(value, rows=9, columns=3):
    return lambda sentences, passages: np.full((len(sentences), len(passages)), value, dtype=np.float32)


def from_rows(*rows):
    return lambda sentences, passages: np.array(rows, dtype=np.float32)


PASSAGES = [passage(number, "text") for number in range(3)]


def test_sentences_get_the_passages_they_agree_with():
    answer = "Paris is in France. Berlin is in Germany.\nNobody knows."
    cited = insert_citations(answer, PASSAGES, from_rows([0.9, 0.1, 0], [0.1, 0.8, 0.795], [0.1, 0.1, 0.2]))
    assert cited.text == "Paris is in France. [ID:0] Berlin is in Germany. [ID:1] [ID:2]\nNobody knows."
    assert cited.passages == (0, 1, 2)


def test_a_passage_is_cited_once():
    cited = insert_citations("First sentence. Second sentence.", PASSAGES[:1], from_rows([0.9], [0.8]))
    assert cited.text == "First sentence. [ID:0] Second sentence."


def test_a_sentence_gets_four_passages_at_most():
    passages = [passage(number, "text") for number in range(6)]
    assert len(insert_citations("All agree with it.", passages, same(0.9)).passages) == 4


@pytest.mark.parametrize(("similarity", "cited"), [(0.64, (0,)), (0.51, (0,)), (0.33, (0,)), (0.31, ()), (0.1, ())])
def test_the_threshold_falls_until_something_is_cited(similarity, cited):
    assert insert_citations("A sentence.", PASSAGES[:1], same(similarity)).passages == cited


def test_the_threshold_falls_for_all_sentences_together():
    cited = insert_citations("Sure thing. Weak thing.", PASSAGES, from_rows([0.7, 0, 0], [0, 0.5, 0]))
    assert cited.passages == (0,)


@pytest.mark.parametrize("answer", ["", "No!", "```\nprint('code')\n```", "| a | b |\n| c | d |\n", "\n\n"])
def test_code_tables_and_scraps_are_not_cited(answer):
    assert insert_citations(answer, PASSAGES, same(0.9)).text == answer


def test_code_between_sentences_stays_whole():
    answer = "Run this. ```\na = 1. b = 2.\n``` Then wait."
    cited = insert_citations(answer, PASSAGES[:2], from_rows([0.9, 0], [0, 0.9]))
    assert cited.text == "Run this. [ID:0] ```\na = 1. b = 2.\n``` Then wait. [ID:1]"


def test_documents_are_reduced_to_the_cited_ones():
    found = retrieval("a", "b", "c")
    assert [count.document_id for count in cited_documents(found, (0, 2))] == ["doc0", "doc2"]
    assert cited_documents(found, ()) == found.documents
