"""Answering an open turn: the engine speaks, and what was said is kept, also when the client leaves half way.

No database connection is held meanwhile. An exchange is kept in one short write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from django.utils import timezone

from apps.chats import services
from apps.chats.search import find_nothing, with_web
from apps.chats.tracing import report
from apps.chats.turns import OpenTurn
from apps.chats.watch import Watch
from apps.chats.wire import reference_of_answer, reference_to_wire, with_key_hint
from apps.core.threads import in_database
from ragflow.engine.calls import Meter, start_meter
from ragflow.engine.errors import EngineError
from ragflow.engine.generation.chat import NOTHING, chat
from ragflow.engine.registry import ModelSpec
from ragflow.engine.speech.narration import narrated, spoken
from ragflow.engine.types import Answer, Delta, Event, Retrieval, Retrieved, Thinking

logger = logging.getLogger(__name__)


def answered(opened: OpenTurn) -> AsyncGenerator[Event, None]:
    """Yield the events of a turn, with its speech where the assistant has a voice.

    The exchange is kept before its Answer is passed on.

    When the client leaves (the task is cancelled, or the generator closed), what was said so far is kept, marked as
    interrupted, and the request to the model ends at once. After an error nothing is kept.
    """
    events = _answered(opened)
    if opened.voice is None:
        return events
    return narrated(events, opened.voice) if opened.streams else spoken(events, opened.voice)


async def _answered(opened: OpenTurn) -> AsyncGenerator[Event, None]:
    said = _Said()
    began, watch, meter = timezone.now(), Watch(), start_meter()
    search = opened.search
    try:
        events = chat(
            opened.turn,
            model=opened.model,
            retrieve=with_web(search or find_nothing, opened.web),
            similarities=search.similarities if search else None,
            sheets=search.sheets if search and opened.reads_tables else None,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Answer):
                    event = await _confirmed(opened, event)  # noqa: PLW2901
                    event = replace(event, text=with_key_hint(event.text))  # noqa: PLW2901
                said.hear(event)  # from here on an Answer is kept as such, and not as the part that was said
                watch.hear(event)
                if isinstance(event, Answer):
                    tokens = _cost(opened, event, meter)
                    await _keep(replace(_exchange(opened, event), tokens=tokens, seconds=watch.seconds))
                    report(opened, event, began)
                yield event
    except (asyncio.CancelledError, GeneratorExit):
        watch.stop("interrupted")
        if said.is_partial:
            await _keep(replace(_partial_exchange(opened, said), seconds=watch.seconds))
        raise
    except Exception:
        watch.stop("failed")
        raise


async def _confirmed(opened: OpenTurn, answer: Answer) -> Answer:
    """Return the answer without citations of what may not be cited any more; as it is where nothing is cited."""
    if opened.search is None or not opened.turn.quote:
        return answer
    try:
        return await opened.search.confirmed(answer)
    except EngineError as error:
        logger.warning("The citations of an answer could not be confirmed: %s", error)
        return answer


class _Said:
    """What has been said so far."""

    def __init__(self) -> None:
        self.retrieval: Retrieval = NOTHING
        self.answered = False
        self._texts: list[str] = []
        self._thoughts: list[str] = []

    def hear(self, event: Event) -> None:
        match event:
            case Retrieved(retrieval):
                self.retrieval = retrieval
            case Delta(text):
                self._texts.append(text)
            case Thinking(text):
                self._thoughts.append(text)
            case Answer():
                self.answered = True

    @property
    def is_partial(self) -> bool:
        return bool(self._texts or self._thoughts) and not self.answered

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def thoughts(self) -> str:
        return "".join(self._thoughts)


def _exchange(opened: OpenTurn, answer: Answer) -> services.Exchange:
    return services.Exchange(
        session_id=opened.session_id,
        pair_id=opened.message_id,
        question=opened.turn.question,
        answer=answer.text,
        thoughts=answer.thoughts,
        reference=reference_of_answer(answer, quote=opened.turn.quote),
        dataset_ids=opened.dataset_ids,
    )


def _cost(opened: OpenTurn, answer: Answer, meter: Meter) -> int:
    """Return the tokens of a turn: of all calls to providers, or of the answer where no provider gave it."""
    from_provider = answer.grounded and not ModelSpec.parse(opened.model.name).is_builtin
    return meter.tokens + (0 if from_provider else answer.usage.total_tokens)


def _partial_exchange(opened: OpenTurn, said: _Said) -> services.Exchange:
    return services.Exchange(
        session_id=opened.session_id,
        pair_id=opened.message_id,
        question=opened.turn.question,
        answer=said.text,
        thoughts=said.thoughts,
        reference=reference_to_wire(said.retrieval) if opened.turn.quote else {},
        dataset_ids=opened.dataset_ids,
        interrupted=True,
    )


_writes: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references


async def _keep(exchange: services.Exchange) -> None:
    """Store an exchange in one short transaction, which a cancellation does not interrupt."""
    if not exchange.session_id:
        return
    write = asyncio.ensure_future(in_database(services.record_exchange, exchange=exchange))
    _writes.add(write)
    write.add_done_callback(_writes.discard)
    await asyncio.shield(write)
