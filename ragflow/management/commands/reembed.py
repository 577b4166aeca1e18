"""Change the embedding model of a dataset from the terminal."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from apps.core.errors import RagflowError
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import live_dataset, named, owned_datasets
from apps.documents import embedding_anew
from apps.documents.leases import LOOK_SECONDS
from apps.documents.models import Reembedding
from apps.documents.services.reembedding import (
    active_reembedding,
    ring_again,
    start_reembedding,
    stop_reembedding,
)
from ragflow.management.caller import caller
from ragflow.management.command import InstallationCommand

SHOW_SECONDS = 0.5


class Command(InstallationCommand):
    help = (
        "Give every chunk of a dataset a vector of another embedding model, and then search with that. Nothing is "
        "parsed again. Until it is done, and if it fails, searches use the old model. Run it again to go on where it "
        "was stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="Name of a dataset, or the id of anybody's.")
        parser.add_argument("--model", default="", help="Default: the model that it has, whose vectors are made anew.")
        parser.add_argument("--email", default="", help="Whose dataset, if named. Default: the first operator's.")
        parser.add_argument("--cancel", action="store_true", help="End a re-embedding that goes on.")

    def handle(self, *args: Any, dataset: str, model: str, email: str, cancel: bool, **options: Any) -> None:
        target = _dataset(dataset, email)
        if cancel:
            ended = stop_reembedding(dataset=target)
            self.stdout.write("It is cancelled; nothing has changed." if ended else "There is nothing to cancel.")
            return
        try:
            task = _task(target, model)
        except RagflowError as error:
            raise CommandError(error.message) from None
        work = threading.Thread(target=_see_through, args=(task,), daemon=True)
        work.start()
        try:
            self._show(task, work)
            work.join()
        except KeyboardInterrupt:
            self._stop()
        task.refresh_from_db()
        if task.state in Reembedding.ACTIVE:
            raise CommandError("It stopped before the end. Run it again to go on.")
        if task.state != Reembedding.State.DONE:
            raise CommandError(task.message or "It was cancelled.")
        self.stdout.write(task.message)

    def _show(self, task: Reembedding, work: threading.Thread) -> None:
        """Show the progress on a terminal until the task has ended, or the work has died of an error."""
        while task.state in Reembedding.ACTIVE and work.is_alive():
            time.sleep(SHOW_SECONDS)
            task.refresh_from_db()
            if self.stdout.isatty():
                self.stdout.write(f"\r{task.message:<60}", ending="\n" if task.finished_at else "\r")
                self.stdout.flush()

    def _stop(self) -> None:
        """End at once. Its lease makes it safe to drop the work, which a worker, if there is one, goes on with."""
        self.stdout.write("\nStopped. Run it again to go on; --cancel ends it for all workers.")
        self.stdout.flush()
        os._exit(130)


def _dataset(text: str, email: str) -> KnowledgeBase:
    found = live_dataset(text) or named(owned_datasets(caller(email)), text).first()
    if found is None:
        raise CommandError(f"There is no dataset {text}.")
    return found


def _task(dataset: KnowledgeBase, model: str) -> Reembedding:
    """Return what goes on with this model already, or start it."""
    going_on = active_reembedding(dataset)
    if going_on is not None and model in ("", going_on.embedding_model):
        return going_on
    return start_reembedding(dataset=dataset, model=model or dataset.embedding_model)


def _see_through(task: Reembedding) -> None:
    """Work here, or wait for the worker that does; one that dies is replaced when its lease runs out."""
    try:
        embedding_anew.run(task.pk)
        while Reembedding.objects.filter(pk=task.pk, state__in=Reembedding.ACTIVE).exists():
            time.sleep(LOOK_SECONDS)
            ring_again()
            embedding_anew.run(task.pk)
    finally:
        connections.close_all()
