"""How the HTTP API answers: profile, DRF, the OpenAPI document."""

from ragflow.settings.env import Section

_api = Section("API")

WIRE_PROFILE = _api.choice(
    "RAGFLOW_WIRE_PROFILE",
    "standard",
    ("standard", "exact"),
    help="standard: honest HTTP statuses and plain sentences. exact: status 200 and the reference's texts, for clients "
    "that compare them.",
)
DEFAULT_SYSTEM_PROMPT = _api.text(
    "RAGFLOW_DEFAULT_SYSTEM_PROMPT",
    verbatim=True,
    help="System text of assistants that are created without one; must hold {knowledge}. Empty: the built-in text.",
)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.APITokenAuthentication",
        "apps.accounts.authentication.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": [
        "apps.core.renderers.JSONRenderer",
        "apps.core.renderers.BrowsableRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "apps.core.renderers.JSONUnlessAskedOtherwise",
    "DEFAULT_PARSER_CLASSES": [
        "rest_framework.parsers.JSONParser",
        "rest_framework.parsers.MultiPartParser",
        "rest_framework.parsers.FormParser",
    ],
    "EXCEPTION_HANDLER": "apps.core.rest.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "apps.core.schema.EnvelopeSchema",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "RAGFlow on Django",
    "DESCRIPTION": "Datasets, documents, retrieval and chat with citations, over RAGFlow's HTTP API.",
    "VERSION": "0.23.1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # In the order in which somebody who begins needs them.
    "TAGS": [
        {"name": name, "description": description}
        for name, description in (
            ("datasets", "Collections of documents that are searched together"),
            ("documents", "Upload, list, parse, change, delete"),
            ("chunks", "The passages of documents, parsed or added by hand"),
            ("metadata", "What documents are filtered by"),
            ("retrieval", "Search datasets; Dify's external knowledge"),
            ("chats", "Assistants over datasets, and their answers"),
            ("sessions", "Conversations with an assistant, and questions without one"),
            ("openai", "What OpenAI clients call"),
            ("search apps", "Saved ways to search"),
            ("embedding", "Chats and searches in web pages, opened by share tokens"),
            ("speech", "Recordings to text, text to speech"),
            ("files", "The file manager"),
            ("accounts", "Registration, login, one's own settings"),
            ("teams", "Members and invitations"),
            ("tokens", "API tokens and share tokens"),
            ("models", "Model providers of a tenant"),
            ("MCP servers", "Other people's tools, for agents"),
            ("langfuse", "Reports of answers to Langfuse"),
            ("system", "Version and health"),
            ("administration", "For administrators: users, keys, services, settings"),
            ("datasets (web)", "As the web API and the command line have them"),
            ("documents (web)", "As the web API and the command line have them"),
            ("chunks (web)", "As the web API and the command line have them"),
            ("chats (web)", "As the web API and the command line have them"),
        )
    ],
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "docExpansion": "none"},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["ragflow.openapi.fold_in_streaming_half"],
    "COMPONENT_SPLIT_REQUEST": True,
    # The document is for programs; a browser's session is no way for them.
    "AUTHENTICATION_WHITELIST": [
        "apps.accounts.authentication.APITokenAuthentication",
        "apps.accounts.authentication.LoginOrKeyAuthentication",
        "apps.accounts.authentication.ShareTokenAuthentication",
        "apps.administration.authentication.AdminSession",
    ],
}
