"""Files, the search index and the message broker. Each default needs no server; each URL replaces one."""

from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import ImproperlyConfigured

from ragflow.settings.env import Section
from ragflow.settings.paths import DATA_DIR

_stores = Section("Stores")

STORAGE_URL = _stores.text(
    "STORAGE_URL",
    help="Where uploaded files go: file:///path, or s3://bucket/prefix?endpoint_url=...&region_name=... "
    "(keys from the usual AWS variables). Empty: the data folder.",
)
ELASTICSEARCH_URL = _stores.text(
    "ELASTICSEARCH_URL", secret=True, help="Search index, for example http://host:9200. Empty: the embedded index."
)
REDIS_URL = _stores.text(
    "REDIS_URL", secret=True, help="Message broker, for example redis://host:6379/0. Empty: a table in the database."
)
INDEX_FILE = DATA_DIR / "index.sqlite3"


def _blob_storage() -> dict[str, object]:
    url = urlsplit(STORAGE_URL)
    if url.scheme in {"", "file"}:
        if url.netloc or (STORAGE_URL and not url.path.startswith("/")):
            raise ImproperlyConfigured(f"STORAGE_URL must name a folder like file:///srv/ragflow, not {STORAGE_URL}.")
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": url.path or DATA_DIR / "files", "base_url": None},
        }
    if url.scheme == "s3":
        options = {name: values[0] for name, values in parse_qs(url.query).items()}
        return {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {"bucket_name": url.netloc, "location": url.path.strip("/"), "file_overwrite": False} | options,
        }
    raise ImproperlyConfigured(f"STORAGE_URL must start with file:// or s3://, not {url.scheme}://.")


STORAGES = {
    "default": _blob_storage(),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

CELERY_BROKER_URL = REDIS_URL or "django://database"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_DEFAULT_QUEUE = "ragflow"
