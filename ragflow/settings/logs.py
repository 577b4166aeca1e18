"""Logs: one line per event on standard error, with the request id."""

from ragflow.settings.env import Section

_logs = Section("Logs")

LOG_LEVEL = _logs.choice(
    "RAGFLOW_LOG_LEVEL", "info", ("debug", "info", "warning", "error"), help="Least severe level that is logged."
).upper()

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "apps.core.logs.RequestIdFilter"}},
    "formatters": {
        "line": {
            "format": "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s",
            "datefmt": "%H:%M:%S",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "ragflow": {"level": LOG_LEVEL},
        "apps": {"level": LOG_LEVEL},
        # A 4xx is the client's affair and is in its answer.
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "CRITICAL"},
    },
}
