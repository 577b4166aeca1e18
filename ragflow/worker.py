"""`python -m ragflow.worker`: the Celery worker that `manage.py up` runs. Its tasks share one process, as threads.

Parsing and embedding spend their time in native code, which lets other threads run; one process needs a fraction of
the memory of several. Larger installations run `celery --app ragflow worker` with the pool of their choice.
"""

from __future__ import annotations

import os
import sys
import warnings

NICENESS = 5  # people wait for the web server; parsing can give way


def main() -> int:
    os.nice(NICENESS)
    from celery.exceptions import SecurityWarning

    from ragflow.celery import app

    # It is about pickled messages that reach a worker of the root user. Ours are JSON, and no other kind is accepted.
    warnings.simplefilter("ignore", SecurityWarning)
    vars(sys)["__stdout__"] = None  # Celery's remarks on its shutdown go there, past the log
    app.loader.import_default_modules()
    from django.conf import settings

    worker = app.Worker(
        pool="threads",
        concurrency=settings.WORKERS,
        loglevel="WARNING",
        quiet=True,
        # Workers share nothing but the queue and the database, so they have no need to talk to each other.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
