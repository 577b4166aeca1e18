"""The tokens that models take: counted for the metrics, and for the tenant that configured the model.

The engine tells of every call, wherever it is made. A thread that works with the database writes at once; for the event
loop and for threads of the engine, the pool does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter

from django.db import Error, connection, transaction
from django.db.models import F

from apps.accounts.catalogue import providers
from apps.accounts.models import TenantModel
from apps.core import metrics
from apps.core.threads import submit
from ragflow.engine.calls import Spent
from ragflow.engine.registry import ModelSpec

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_unwritten: Counter[str] = Counter()  # tokens by the id of a TenantModel


def count_spent(spent: Spent) -> None:
    """Count the tokens of a call. Those of the installation's own models are nobody's."""
    metrics.tokens.labels(spent.kind, "prompt").inc(spent.usage.prompt_tokens)
    metrics.tokens.labels(spent.kind, "completion").inc(spent.usage.completion_tokens)
    provider = providers().get(ModelSpec.parse(spent.model).provider)
    # The name of somebody's own provider is no label.
    metrics.provider_tokens.labels(provider.name if provider else "other").inc(spent.usage.total_tokens)
    if not spent.account or not spent.usage.total_tokens:
        return
    with _lock:
        _unwritten[spent.account] += spent.usage.total_tokens
    if _may_write_here():
        write()
    else:
        submit(write)


def write() -> None:
    """Add what was counted to the rows of the models. What cannot be written is kept for the next time."""
    with _lock:
        sums = Counter(_unwritten)
        _unwritten.clear()
    try:
        with transaction.atomic():
            for row_id, tokens in sorted(sums.items()):  # in one order, so that no two writers wait for each other
                TenantModel.objects.filter(pk=row_id).update(used_tokens=F("used_tokens") + tokens)
    except Error as error:
        logger.warning("Tokens that models took are written later: %s", type(error).__name__)
        with _lock:
            _unwritten.update(sums)


def _may_write_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return connection.connection is not None
    return False
