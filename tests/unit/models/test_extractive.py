"""The built-in answerer and the sentences it quotes."""

import re

import pytest

from ragflow.engine.llm.complete import complete
from ragflow.engine.llm.extractive import MAX_QUOTES, QUOTE_LENGTH, ExtractiveModel, best_quotes, write_answer
from ragflow.engine.llm.sentences import split_sentences
from ragflow.engine.types import Chunk, Message, Passage, TextDelta, Usage

KILN = "A kiln is an oven for clay. Potters fire earthenware at about 1000 °C. The oldest ones were pits."
TURBINE = "Steam turbines drive generators. Their blades are made of steel."


def passages(*contents: str, similarity: float = 0.5) -> list[Passage]:
    return [
        Passage(Chunk(f"{number:016x}", "dataset", "document", "name.txt", content), similarity, similarity, similarity)
        for number, content in enumerate(contents)
    ]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith met J. Doe at 3.5 p.m. They left.", ["Dr. Smith met J. Doe at 3.5 p.m. They left."]),
        ("It costs 3.50 euros, e.g. in Bonn. It rains.", ["It costs 3.50 euros, e.g. in Bonn.", "It rains."]),
        ('She said "Stop." Then she left.', ['She said "Stop."', "Then she left."]),
        ("窑炉很热。温度是多少？一千度！“够了。”他说", ["窑炉很热。", "温度是多少？", "一千度！", "“够了。”", "他说"]),
        ("Kilns\n\nA kiln is an oven.", ["Kilns", "A kiln is an oven."]),
        (
            "A line that goes on and on until the page\nEnds in the middle of a sentence.",
            ["A line that goes on and on until the page Ends in the middle of a sentence."],
        ),
        ("wraps here\nand goes on", ["wraps here and goes on"]),
        ("- one item\n- another item", ["- one item", "- another item"]),
        ("1. First step. 2. Second step.", ["1. First step.", "2. Second step."]),
        (
            "<table><caption>Prices</caption><tr><th>Name</th></tr><tr><td>Kiln</td><td>5 &lt; 6</td></tr></table>",
            ["Prices", "Name", "Kiln, 5 < 6"],
        ),
        ("<tr><td>PORT</td><td> </td><td>9380</td></tr>", ["PORT, 9380"]),
        (
            "So start it:\n\n```sh\nmake run\nmake demo\n```\nIt waits\nthen.",
            ["So start it:", "make run", "make demo", "It waits then."],
        ),
        ("List<String> a < b", ["List<String> a < b"]),
        ("", []),
        (" \n . \n", ["."]),
    ],
)
def test_sentences_rows_items_and_headings_come_apart(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is a kiln?", "A kiln is an oven for clay. [ID:1]"),
        ("How hot is earthenware fired?", "Potters fire earthenware at about 1000 °C. [ID:1]"),
        ("What are blades made of?", "Their blades are made of steel. [ID:0]"),
    ],
)
def test_the_first_quote_is_the_sentence_that_answers(question: str, expected: str) -> None:
    answer = write_answer(question, passages(TURBINE, KILN))
    label, first, *_ = answer.split("\n\n")
    assert "Extractive answer" in label
    assert first == f"> {expected}"


def test_chinese_is_quoted_too() -> None:
    texts = passages("汽轮机驱动发电机。叶片由钢制成。", "窑炉是烧制陶器的炉子。温度约为一千度。")
    assert "> 叶片由钢制成。 [ID:0]" in write_answer("叶片是用什么制成的？", texts)


def test_quotes_are_of_different_passages_and_few() -> None:
    texts = [f"Kiln number {word} is hot. Kilns are ovens." for word in ("one", "two", "three", "four", "five", "six")]
    quotes = best_quotes("Which kiln number is hot?", passages(*texts))
    assert len(quotes) == MAX_QUOTES
    assert len({quote.passage for quote in quotes}) == MAX_QUOTES


def test_what_two_passages_repeat_is_quoted_once() -> None:
    quotes = best_quotes("What is a kiln?", passages(KILN, f"Overlap. {KILN}"))
    assert [quote.passage for quote in quotes] == [0]


def test_passages_without_the_asked_terms_are_left_out() -> None:
    assert [quote.passage for quote in best_quotes("What is a kiln?", passages(TURBINE, KILN))] == [1]


def test_a_heading_is_quoted_with_what_it_introduces() -> None:
    text = "Opening hours\n\nMonday to Friday, 9 to 17.\n\nPrices\n\nFive euros."
    assert best_quotes("What are the opening hours?", passages(text))[0].text == (
        "Opening hours: Monday to Friday, 9 to 17."
    )


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        (
            "Servers instead of the built-in parts\nEach is replaced by one variable.",
            "Servers instead of the built-in parts: Each is replaced by one variable.",
        ),
        (
            "The built-in parts do not start\n1. Look at the log.\n2. Ask for help.\n\nNothing else helps.",
            "The built-in parts do not start: 1. Look at the log. 2. Ask for help.",
        ),
        (
            "Which are the built-in parts?\n- the index\n- the queue",
            "Which are the built-in parts? - the index - the queue",
        ),
    ],
)
def test_a_heading_of_several_words_is_quoted_with_all_it_introduces(text: str, quote: str) -> None:
    assert best_quotes("What are the built-in parts?", passages(text))[0].text == quote


@pytest.mark.parametrize(
    ("question", "text", "quote"),
    [
        (
            "What does the whale eat?",
            "The whale is a mammal. It eats krill. It is large.",
            "The whale is a mammal. It eats krill.",
        ),
        ("What are turbine blades made of?", TURBINE, TURBINE),
        (
            "Does the whale like krill or other food?",
            "The whale is large. It eats krill.",
            "The whale is large. It eats krill.",
        ),
        ("Where is the whale?", "The whale is large. It lives in the sea.", "The whale is large."),
        ("What does the whale eat?", "- the whale is large\n- the seal eats fish", "- the whale is large"),
        ("What does the whale eat?", "- krill of a whale\nThe seal eats fish.", "- krill of a whale"),
        (
            "whale krill",
            f"The whale is {'very ' * 60}large. It eats {'much ' * 60}krill.",
            f"The whale is {'very ' * 60}large.",
        ),
    ],
)
def test_a_sentence_is_quoted_with_the_neighbour_that_completes_it(question: str, text: str, quote: str) -> None:
    assert best_quotes(question, passages(text))[0].text == quote


def test_a_table_row_is_quoted_alone() -> None:
    rows = "<tr><td>K200</td><td>49 EUR</td></tr><tr><td>K300</td><td>89 EUR</td></tr>"
    text = f"<table>{rows}</table>\nPrices include tax."
    for model, quote in (("K200", "K200, 49 EUR"), ("K300", "K300, 89 EUR")):
        assert best_quotes(f"How much is the {model}?", passages(text))[0].text == quote


def test_a_question_in_the_text_is_quoted_with_its_answer() -> None:
    text = "Question: How do I reset my password?\tAnswer: Open the settings page."
    assert "Open the settings page." in write_answer("how do I reset my password", passages(text))


def test_citations_in_documents_are_not_mistaken_for_ours() -> None:
    answer = write_answer("What is a kiln?", passages("A kiln is an oven [ID:7] (ID: 3)."))
    assert re.findall(r"\[ID:\d+\]", answer) == ["[ID:0]"]
    assert "(ID: 3)" not in answer


def test_long_sentences_are_shortened() -> None:
    quote = best_quotes("kiln", passages("kiln " + "word " * 500))[0]
    assert quote.text.endswith(" …")
    assert len(quote.text) <= QUOTE_LENGTH + 2


async def test_without_passages_it_says_what_it_needs() -> None:
    answer = await complete(ExtractiveModel(), [Message("user", "What is a kiln?")])
    for word in ("datasets", "OPENAI_API_KEY", "OPENAI_BASE_URL", "RAGFLOW_CHAT_MODEL"):
        assert word in answer.text
    assert (await complete(ExtractiveModel(), [], passages=passages(""))).text == answer.text


async def test_it_answers_the_last_user_message_in_pieces_and_counts_tokens() -> None:
    messages = [
        Message("system", "Prompt"),
        Message("user", "What are blades made of?"),
        Message("assistant", "Steel"),
        Message("user", "What is a kiln?"),
    ]
    stream = ExtractiveModel().stream(messages, options={"temperature": 0.1}, passages=passages(TURBINE, KILN))
    events = [event async for event in stream]
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(pieces) == write_answer("What is a kiln?", passages(TURBINE, KILN))
    assert len(pieces) > 2
    usage = events[-1]
    assert isinstance(usage, Usage)
    assert usage.estimated
    assert usage.completion_tokens > 10


def test_code_among_text_is_not_quoted_even_if_it_repeats_the_question() -> None:
    code = '```python\nask("What is a kiln?")  # a kiln is what\n```'
    (quote,) = best_quotes("What is a kiln?", passages(f"{code}\n{KILN}"))
    assert quote.text == "A kiln is an oven for clay."
    (unclosed,) = best_quotes("What is a kiln?", passages(f"{KILN}\n{code[:-3]}"))
    assert unclosed.text == "A kiln is an oven for clay."


def test_a_passage_of_code_alone_is_quoted() -> None:
    (quote,) = best_quotes("Where is the kiln?", passages("```\nkiln = place('Bonn')\n```"))
    assert "place('Bonn')" in quote.text


@pytest.mark.parametrize("question", ["", "?", "of the", "\ud83d", "x" * 10_000, "🔥"])
@pytest.mark.parametrize("content", ["", "   ", "🔥", "\ud83d half", "<td>", "|---|---|", "x" * 10_000, "。" * 50])
async def test_odd_input_gives_an_answer(question: str, content: str) -> None:
    answer = await complete(ExtractiveModel(), [Message("user", question)], passages=passages(content))
    assert answer.text == write_answer(question, passages(content))
