"""Deterministic ids of the engine."""

from __future__ import annotations

import xxhash


def chunk_id(content: str, document_id: str) -> str:
    """Return the 16 hex characters that identify this content within this document.

    The same text added twice to a document is the same chunk: xxh64 (seed 0) of the UTF-8 text followed by the
    document id. Lone surrogates, which JSON can carry, are encoded as they are instead of failing.
    """
    return xxhash.xxh64_hexdigest((content + document_id).encode("utf-8", "surrogatepass"))
