"""Language and embedding models: the defaults of a new tenant."""

from ragflow.engine.registry import ModelSettings
from ragflow.settings.env import Section
from ragflow.settings.paths import DATA_DIR

_models = Section("Models")

MODELS = ModelSettings(
    api_key=_models.text("OPENAI_API_KEY", secret=True, help="Key of an OpenAI-compatible provider."),
    base_url=_models.text(
        "OPENAI_BASE_URL", help="Base URL of an OpenAI-compatible provider, for example http://127.0.0.1:11434/v1."
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
    threads=_models.integer("RAGFLOW_EMBEDDING_THREADS", 1, minimum=1, help="CPU threads of one embedding call."),
)
