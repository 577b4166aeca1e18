"""Language and embedding models: the defaults of a new tenant, and what tenants may configure."""

from django.core.exceptions import ImproperlyConfigured

from ragflow.engine.registry import ANY_HOST, ModelSettings
from ragflow.settings.env import Section
from ragflow.settings.paths import DATA_DIR
from ragflow.settings.security import IS_PERSONAL

_models = Section("Models")


def _provider_urls(pairs: list[str]) -> dict[str, str]:
    urls: dict[str, str] = {}
    for pair in pairs:
        name, separator, url = pair.partition("=")
        if not separator or not url.strip().startswith(("http://", "https://")):
            raise ImproperlyConfigured(
                f"RAGFLOW_PROVIDER_URLS: {pair!r} is not like ZHIPU-AI=https://models.example.com."
            )
        urls[name.strip()] = url.strip()
    return urls


PROVIDER_URLS = _provider_urls(
    _models.listed(
        "RAGFLOW_PROVIDER_URLS",
        help="Base URLs in place of the known ones of providers, such as those of a gateway or a mirror: "
        "ZHIPU-AI=https://models.example.com/v4,OpenAI=...",
    )
)
_private_hosts = _models.listed(
    "RAGFLOW_PRIVATE_MODEL_HOSTS",
    ANY_HOST if IS_PERSONAL else "",
    shown_default="",
    help="Hosts (name or name:port, separated by commas; * for any) within private networks that tenants may name as "
    "model servers. Default of a server that listens on this machine only, with registration closed and no proxy: *.",
)

TAVILY_URL = _models.text(
    "RAGFLOW_TAVILY_URL",
    "https://api.tavily.com",
    help="Base URL of the web search of chats that have a key for it (tavily_api_key).",
)
ANSWER_SECONDS = _models.integer(
    "RAGFLOW_ANSWER_SECONDS",
    900,
    minimum=1,
    help="How long one answer of a chat or a search may take, from the first search to the last word.",
)
MODELS = ModelSettings(
    api_key=_models.text("OPENAI_API_KEY", secret=True, help="Key of an OpenAI-compatible provider."),
    base_url=_models.text(
        "OPENAI_BASE_URL",
        help="Base URL of an OpenAI-compatible provider, for example http://127.0.0.1:11434/v1. Providers that the "
        "models below name after an @ are asked there, too, when a tenant sets only a key.",
    ),
    chat_model=_models.text(
        "RAGFLOW_CHAT_MODEL", help="Default chat model. Empty and no provider: the built-in extractive answerer."
    ),
    embedding_model=_models.text(
        "RAGFLOW_EMBEDDING_MODEL",
        help="Default embedding model. Empty: the built-in one (without its files: hashing).",
    ),
    rerank_model=_models.text("RAGFLOW_RERANK_MODEL", help="Default rerank model. Empty: no reranking."),
    speech_to_text_model=_models.text(
        "RAGFLOW_SPEECH_TO_TEXT_MODEL", help="Default model that transcribes recordings. Empty: none."
    ),
    text_to_speech_model=_models.text("RAGFLOW_TEXT_TO_SPEECH_MODEL", help="Default model that speaks. Empty: none."),
    voice=_models.text("RAGFLOW_VOICE", help="Voice of the model that speaks, by its provider's name. Empty: alloy."),
    context_tokens=_models.integer(
        "RAGFLOW_CONTEXT_TOKENS", 8192, minimum=512, help="Context window of the chat model in tokens."
    ),
    model_folder=_models.text(
        "EMBEDDING_MODEL_DIR", help="Folder with config.json, tokenizer.json and model.safetensors of all-MiniLM-L6-v2."
    ),
    cache_folder=str(DATA_DIR / "models"),
    private_hosts=frozenset(map(str.lower, _private_hosts)),
    threads=_models.integer("RAGFLOW_EMBEDDING_THREADS", 1, minimum=1, help="CPU threads of one embedding call."),
)
