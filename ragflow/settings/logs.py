"""Logs: one line per event on standard error, as text or as JSON."""

from typing import Any

from ragflow.settings.env import Section

_logs = Section("Logs")

LOG_LEVEL = _logs.choice(
    "RAGFLOW_LOG_LEVEL",
    "info",
    ("debug", "info", "warning", "error"),
    help="Least severe level that is logged. debug names every request.",
).upper()
_format = _logs.choice(
    "RAGFLOW_LOG_FORMAT",
    "text",
    ("text", "json"),
    help="json: one object per line, with request_id, tenant and task_id.",
)
_audit_file = _logs.text(
    "RAGFLOW_AUDIT_FILE",
    help="File to which each entry of the audit log is appended as a line of JSON. Empty: with RAGFLOW_LOG_FORMAT=json "
    "entries are among the other lines.",
)
AUDIT_DAYS = _logs.integer(
    "RAGFLOW_AUDIT_DAYS",
    0,
    help="Days after which entries of the audit log are removed from the database. 0: they are kept for good.",
)

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "apps.core.logs.ContextFilter"}},
    "formatters": {
        "text": {
            "()": "apps.core.logs.TextFormatter",
            "format": "%(asctime)s %(levelname)-7s %(name)s [%(origin)s] %(message)s",
            "datefmt": "%H:%M:%S",
        },
        "json": {"()": "apps.core.logs.JSONFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": _format, "filters": ["context"]}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "ragflow": {"level": LOG_LEVEL},
        # In the text that people watch, entries would hide everything else.
        "ragflow.audit": {
            "level": "INFO" if _audit_file or _format == "json" else "WARNING",
            "propagate": not _audit_file,
        },
        "apps": {"level": LOG_LEVEL},
        # It warns of each try with a traceback. What fails in the end is told once, where it becomes an answer.
        "elastic_transport": {"level": "ERROR"},
        # The MCP library logs what servers send, with tracebacks. What fails in the end is in the answer.
        "mcp": {"level": "CRITICAL"},
        "client": {"level": "CRITICAL"},  # its sessions
        # A 4xx is the client's affair and is in its answer; a 5xx is logged where it becomes an answer, without its
        # path, which can hold a token.
        "django.request": {"level": "CRITICAL"},
        "django.security": {"level": "CRITICAL"},
    },
}
if _audit_file:
    LOGGING["handlers"]["audit"] = {
        "class": "logging.handlers.WatchedFileHandler",  # the file may be rotated
        "filename": _audit_file,
        "formatter": "json",
        "filters": ["context"],
        "delay": True,
    }
    LOGGING["loggers"]["ragflow.audit"]["handlers"] = ["audit"]
