"""The built-in answerer: no model and no network, it quotes the best sentences of what was retrieved."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from ragflow.engine.llm.complete import estimate_usage
from ragflow.engine.llm.sentences import NEW_ITEM, TERMINAL, WIDE, split_sentences
from ragflow.engine.types import Message, ModelEvent, Passage, TextDelta

NAME = "extractive@Builtin"

HEADING = "**Extractive answer** (quotes from the documents, no language model):"
NOTHING_TO_QUOTE = (
    "**Extractive answerer**: without a language model I can only quote from datasets, and there is nothing to quote "
    "here. Set OPENAI_API_KEY or OPENAI_BASE_URL, and RAGFLOW_CHAT_MODEL, to use a language model."
)

MAX_QUOTES = 4
QUOTE_LENGTH = 480  # characters
RELATIVE_MINIMUM = 0.5  # a further quote scores at least this share of the best one
SIMILARITY_WEIGHT = 0.3  # of the passage's similarity beside the share of question terms found (0..1)
NUMBER_BONUS = 0.15  # for figures in the answer to a question that asks for one
FRAGMENT_FACTOR = 0.5  # headings, questions and other text that says nothing by itself
FRAGMENT_WORDS = 4
HEADING_WORDS = 10  # a line without a stop is no heading of the following sentence if it has more
CONTEXT_SHARE = 0.25  # of the asked terms that a passage holds, by weight: a neighbour that adds so much is quoted too

WORD = re.compile(r"[^\W_]+")
NUMBER = re.compile(r"\d+")
ASKS_NUMBER = re.compile(
    r"\b(?:when|how (?:many|much|long|old|far|large|big)|what (?:year|date|percent\w*))\b|何时|多少|哪一年|几"
)
MARKER = re.compile(r"[\[【(（]\s*ID\s*[:：]?\s*(\d+)\s*[\]】)）]", re.IGNORECASE)
CODE = re.compile(r"^[^\S\n]*```.*?(?:^[^\S\n]*```[^\S\n]*$|\Z)", re.MULTILINE | re.DOTALL)
PIECE = re.compile(r"(?:[^\S\n]*[^\s]{1,24}){1,6}\s*")  # what one streamed delta holds

STOP_WORDS = frozenset(
    """
    a about after all also an and any are as at be because been before being but by can could did do does for from had
    has have he her his how i if in into is it its may me more most my no not of on or other our over she should so
    some such than that the their them then there these they this those to under was we were what when where which
    while who whom whose why will with would you your tell explain describe please
    的 了 是 在 和 与 吗 呢 什么 怎么 如何 哪些 哪个 多少 谁
    """.split()  # noqa: SIM905 - as a list it would fill a page
)
ENDINGS = ("ing", "ies", "ed", "es", "ly", "s", "e")


class ExtractiveModel:
    """`ChatModel` that answers the last user message with quotes, each with its citation [ID:n]."""

    name = NAME
    can_instruct = False

    def __init__(self, *, context_tokens: int = 8192) -> None:
        self.context_tokens = context_tokens

    async def stream(
        self, messages: Sequence[Message], *, options: Mapping[str, Any], passages: Sequence[Passage] = ()
    ) -> AsyncGenerator[ModelEvent, None]:
        question = next((message.content for message in reversed(messages) if message.role == "user"), "")
        answer = await asyncio.to_thread(write_answer, question, passages)
        for piece in PIECE.findall(answer):
            yield TextDelta(piece)
        yield await asyncio.to_thread(estimate_usage, messages, answer)


@dataclass(frozen=True, slots=True)
class Quote:
    text: str
    passage: int  # index into the passages
    score: float


def write_answer(question: str, passages: Sequence[Passage]) -> str:
    """Return a short Markdown answer made of quotes, best first."""
    quotes = best_quotes(question, passages)
    if not quotes:
        return NOTHING_TO_QUOTE
    return "\n\n".join([HEADING, *(f"> {quote.text} [ID:{quote.passage}]" for quote in quotes)])


def best_quotes(question: str, passages: Sequence[Passage]) -> list[Quote]:
    """Return at most MAX_QUOTES quotes of different passages, best first.

    A sentence scores the share of the question's terms it holds, each weighted by how rare it is among all sentences
    (inverse document frequency as in BM25), plus a part of the similarity its passage was retrieved with.
    """
    texts = [_sentences(passage.chunk.content) for passage in passages]
    weights = _term_weights(_terms(question), [_terms(sentence) for sentences in texts for sentence in sentences])
    candidates = (
        _best_quote(question, weights, sentences, index, passages[index].similarity)
        for index, sentences in enumerate(texts)
        if sentences
    )
    return _distinct(sorted(candidates, key=lambda quote: -quote.score))


def _sentences(text: str) -> list[str]:
    """Return the sentences of a passage: code that stands among text has none, however many words it shares."""
    return split_sentences(CODE.sub("\n", text)) or split_sentences(text)


def _distinct(ranked: Sequence[Quote]) -> list[Quote]:
    """Drop weak quotes and those that repeat another one (chunks may overlap)."""
    kept: list[Quote] = []
    for quote in ranked:
        is_new = all(quote.text not in other.text and other.text not in quote.text for other in kept)
        if is_new and quote.score >= RELATIVE_MINIMUM * ranked[0].score:
            kept.append(quote)
    return kept[:MAX_QUOTES]


def _best_quote(
    question: str, weights: Mapping[str, float], sentences: Sequence[str], passage: int, similarity: float
) -> Quote:
    leads = [_is_lead(sentence, following) for sentence, following in pairwise([*sentences, ""])]
    scores = [
        _score(question, weights, sentence) * (FRAGMENT_FACTOR if is_lead or _count(sentence) < FRAGMENT_WORDS else 1.0)
        for sentence, is_lead in zip(sentences, leads, strict=True)
    ]
    best = max(range(len(sentences)), key=scores.__getitem__)  # the first of equals
    text = _introduced(best, sentences) if leads[best] else _in_context(best, sentences, weights)
    return Quote(_quotable(text), passage, scores[best] + SIMILARITY_WEIGHT * max(0.0, similarity))


def _score(question: str, weights: Mapping[str, float], sentence: str) -> float:
    total = sum(weights.values())
    found = sum(weights[term] for term in _terms(sentence) if term in weights)
    score = found / total if total else 0.0
    if ASKS_NUMBER.search(question.lower()) and set(NUMBER.findall(sentence)) - set(NUMBER.findall(question)):
        score += NUMBER_BONUS
    return score


def _count(sentence: str) -> float:
    """Return the number of words, two characters of a script without spaces being one."""
    return len(WORD.findall(WIDE.sub("", sentence))) + len(WIDE.findall(sentence)) / 2


def _is_lead(sentence: str, following: str) -> bool:
    """Tell whether a sentence only leads to the following one: a question, or a heading. Table rows have commas."""
    if sentence.endswith(("?", "？", ":", "：")):
        return True
    if sentence.endswith(TERMINAL) or "," in sentence or NEW_ITEM.match(sentence) or _count(sentence) > HEADING_WORDS:
        return False
    return bool(following.endswith(TERMINAL) or NEW_ITEM.match(following))


def _introduced(place: int, sentences: Sequence[str]) -> str:
    """Return a heading or a question with what it introduces: the next sentence, or all items of a list."""
    lead, following = sentences[place], sentences[place + 1 :]
    items = list(takewhile(NEW_ITEM.match, following))
    text = " ".join(items or following[:1])
    return f"{lead}{'' if lead.endswith(TERMINAL) else ':'} {text}" if text else lead


def _in_context(best: int, sentences: Sequence[str], weights: Mapping[str, float]) -> str:
    """Return a sentence with the neighbour that holds what the question asks and the sentence lacks, if one does.

    "The whale is a mammal. It eats krill." answers only as a whole what the whale eats. List items and table rows
    stand by themselves.
    """
    asked = [_terms(sentence) & weights.keys() for sentence in sentences]
    held = sum(weights[term] for term in frozenset().union(*asked))
    added = {
        place: sum(weights[term] for term in asked[place] - asked[best])
        for place in (best + 1, best - 1)
        if 0 <= place < len(sentences) and _reads_on(sentences[best], sentences[place])
    }
    other = max(added, key=added.__getitem__, default=best)
    if not held or added.get(other, 0.0) < CONTEXT_SHARE * held:
        return sentences[best]
    return " ".join(sentences[min(best, other) : max(best, other) + 1])


def _reads_on(sentence: str, neighbour: str) -> bool:
    are_whole = sentence.endswith(TERMINAL) and neighbour.endswith(TERMINAL)
    return are_whole and len(sentence) + len(neighbour) < QUOTE_LENGTH


def _term_weights(wanted: frozenset[str], sentences: Sequence[frozenset[str]]) -> dict[str, float]:
    frequency = Counter(term for terms in sentences for term in terms & wanted)
    count = len(sentences)
    return {term: math.log(1 + (count - frequency[term] + 0.5) / (frequency[term] + 0.5)) for term in wanted}


def _terms(text: str) -> frozenset[str]:
    """Return the words without endings, and the pairs of characters where a script has no spaces."""
    return frozenset(term for term in _all_terms(text.lower()) if term not in STOP_WORDS)


def _all_terms(text: str) -> Iterator[str]:
    for word in WORD.findall(text):
        if not WIDE.search(word):
            yield word if word in STOP_WORDS else _without_ending(word)
        elif len(word) == 1:
            yield word
        else:
            yield from (word[i : i + 2] for i in range(len(word) - 1))


def _without_ending(word: str) -> str:
    """Return a rough stem: enough to match "buildings" with "building" and "moved" with "move"."""
    ending = next((ending for ending in ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
    return word.removesuffix(ending)


def _quotable(text: str) -> str:
    """Return the text on one line, shortened, and without anything that would read as a citation of ours."""
    text = MARKER.sub(r"ID \1", " ".join(text.split()))
    if len(text) <= QUOTE_LENGTH:
        return text
    return f"{text[:QUOTE_LENGTH].rsplit(' ', 1)[0]} …"
