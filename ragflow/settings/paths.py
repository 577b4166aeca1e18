"""Where code and data live."""

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from ragflow.settings.env import Section

_server = Section("Server")

BASE_DIR = Path(__file__).resolve().parents[2]

DATA_DIR = _server.path(
    "RAGFLOW_DATA_DIR",
    BASE_DIR / "data",
    shown_default="./data",
    help="Folder for everything the installation writes: database, index, files, secrets, the cached embedding model.",
)
try:
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
except FileExistsError:
    raise ImproperlyConfigured(f"RAGFLOW_DATA_DIR ({DATA_DIR}) is a file; it has to be a folder.") from None
except OSError as error:
    raise ImproperlyConfigured(f"RAGFLOW_DATA_DIR ({DATA_DIR}) cannot be made: {error.strerror}.") from None
_LAST_PORT = 65535
HOST = _server.text("RAGFLOW_HOST", "127.0.0.1", help="Address to listen on. 0.0.0.0 makes the server public.")
PORT = _server.integer("RAGFLOW_PORT", 9380, maximum=_LAST_PORT, help="TCP port to listen on. 0 takes a free one.")
ADMIN_PORT = _server.integer(
    "RAGFLOW_ADMIN_PORT",
    9381 if PORT == 9380 else 0,
    maximum=_LAST_PORT,
    shown_default="9381",
    help="A second TCP port, where RAGFLOW's command line expects the admin API. It serves the same as the first. 0: "
    "none, which is the default beside another RAGFLOW_PORT than 9380.",
)
THREADS = _server.integer(
    "RAGFLOW_THREADS", 8, minimum=1, help="Threads that serve ordinary requests, and what streams read and write."
)
WORKERS = _server.integer("RAGFLOW_WORKERS", 2, minimum=1, help="Documents that one worker process parses at a time.")

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
