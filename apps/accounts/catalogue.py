"""Embedding models that the big providers are known to offer.

The list only tells a model that would work once its provider is configured from one that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ragflow.engine.registry import BUILTIN, OPENAI

EMBEDDING_MODELS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        OPENAI: frozenset({"text-embedding-3-large", "text-embedding-3-small", "text-embedding-ada-002"}),
        "Azure-OpenAI": frozenset({"text-embedding-3-large", "text-embedding-3-small", "text-embedding-ada-002"}),
        "BAAI": frozenset(
            {
                "BAAI/bge-base-en-v1.5",
                "BAAI/bge-large-en-v1.5",
                "BAAI/bge-large-zh-v1.5",
                "BAAI/bge-m3",
                "BAAI/bge-small-en-v1.5",
                "BAAI/bge-small-zh-v1.5",
            }
        ),
        "BaiduYiyan": frozenset({"Embedding-V1", "bge-large-en", "bge-large-zh", "tao-8k"}),
        "Bedrock": frozenset(
            {
                "amazon.titan-embed-text-v1",
                "amazon.titan-embed-text-v2:0",
                "cohere.embed-english-v3",
                "cohere.embed-multilingual-v3",
            }
        ),
        "Cohere": frozenset(
            {
                "embed-english-light-v3.0",
                "embed-english-v3.0",
                "embed-multilingual-light-v3.0",
                "embed-multilingual-v3.0",
                "embed-v4.0",
            }
        ),
        "Gemini": frozenset({"gemini-embedding-001", "text-embedding-004"}),
        "Jina": frozenset({"jina-embeddings-v2-base-en", "jina-embeddings-v2-base-zh", "jina-embeddings-v3"}),
        "Mistral": frozenset({"codestral-embed", "mistral-embed"}),
        "NVIDIA": frozenset({"baai/bge-m3", "nvidia/nv-embedqa-e5-v5", "nvidia/nv-embedqa-mistral-7b-v2"}),
        "SILICONFLOW": frozenset(
            {
                "BAAI/bge-large-en-v1.5",
                "BAAI/bge-large-zh-v1.5",
                "BAAI/bge-m3",
                "Pro/BAAI/bge-m3",
                "Qwen/Qwen3-Embedding-0.6B",
                "Qwen/Qwen3-Embedding-4B",
                "Qwen/Qwen3-Embedding-8B",
            }
        ),
        "Tongyi-Qianwen": frozenset(
            {"text-embedding-v1", "text-embedding-v2", "text-embedding-v3", "text-embedding-v4"}
        ),
        "VolcEngine": frozenset({"doubao-embedding-large-text-240915", "doubao-embedding-text-240715"}),
        "Voyage AI": frozenset(
            {"voyage-3", "voyage-3-large", "voyage-3-lite", "voyage-3.5", "voyage-3.5-lite", "voyage-code-3"}
        ),
        "Youdao": frozenset({"maidalun1020/bce-embedding-base_v1"}),
        "ZHIPU-AI": frozenset({"embedding-2", "embedding-3"}),
    }
)

OPEN_PROVIDERS = frozenset(
    {"HuggingFace", "LM-Studio", "LocalAI", "Ollama", "OpenAI-API-Compatible", "VLLM", "Xinference"}
)
"""Servers that hold whatever models their operator installed: any name is accepted where one is configured."""

PROVIDERS = frozenset(EMBEDDING_MODELS) | OPEN_PROVIDERS | {BUILTIN}
