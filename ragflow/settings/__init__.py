"""Django's settings, one concern per file, all from the environment. There is one settings module for every use."""

import sys

from ragflow.settings.database import *  # noqa: F403
from ragflow.settings.env import GIVEN as GIVEN_VARIABLES  # noqa: F401 -- those in the environment
from ragflow.settings.identity import LOGIN_CHANNELS as LOGIN_CHANNELS
from ragflow.settings.logs import *  # noqa: F403
from ragflow.settings.mail import *  # noqa: F403
from ragflow.settings.mcp import PRIVATE_MCP_HOSTS as PRIVATE_MCP_HOSTS
from ragflow.settings.models import ANSWER_SECONDS as ANSWER_SECONDS
from ragflow.settings.models import MODELS as MODELS
from ragflow.settings.models import PROVIDER_URLS as PROVIDER_URLS
from ragflow.settings.models import TAVILY_URL as TAVILY_URL
from ragflow.settings.ocr import OCR_SERVICES as OCR_SERVICES
from ragflow.settings.paths import *  # noqa: F403
from ragflow.settings.security import *  # noqa: F403
from ragflow.settings.stores import *  # noqa: F403
from ragflow.settings.wire import *  # noqa: F403

INSTALLED_APPS = [
    # Daphne's app replaces `runserver` and imports Twisted, which nothing else needs in every process.
    *(["daphne"] if "runserver" in sys.argv else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "ragflow",
    "apps.accounts",
    "apps.datasets",
    "apps.documents",
    "apps.chats",
    "apps.agents",
    "apps.administration",
]

MIDDLEWARE = [
    "apps.core.middleware.RequestId",
    "apps.core.middleware.CanonicalPath",
    "django.middleware.security.SecurityMiddleware",
    "apps.core.middleware.CrossOrigin",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],  # noqa: F405
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
ROOT_URLCONF = "ragflow.urls"
ASGI_APPLICATION = "ragflow.asgi.application"
APPEND_SLASH = False
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_NAME = "ragflow_session"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
USE_THOUSAND_SEPARATOR = True
FORMAT_MODULE_PATH = "ragflow.formats"
