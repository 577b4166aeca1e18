"""What scope a request needs: the one table of what an API token may do, over method and path.

A login has every scope. A route that no line below names needs `read` or `write`, by its method.
"""

from __future__ import annotations

import re

from apps.core.errors import LacksScope
from apps.core.principal import Principal, Scope

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_ADMINISTRATION = re.compile(  # by any method
    r"/v1/(?:user/logout|system/token_list|langfuse/api_key|api/(?:new_token|token_list|rm)|mcp_server/.*)", re.DOTALL
)
_ADMINISTRATION_IF_WRITING = re.compile(r"/v1/(?:user|tenant|system|llm|langfuse|connector)/.*", re.DOTALL)
_CHATTING = re.compile(
    r"/api/v1/(?:chats|agents)/[^/]+/(?:completions|sessions)(?:/.*)?"
    r"|/api/v1/(?:chats|agents)_openai/.*"
    r"|/api/v1/openai/.*|/api/v1/chat/completions"
    r"|/api/v1/(?:sequence2txt|tts)"
    r"|/api/v1/sessions/.*"
    r"|/v1/conversation/.*",
    re.DOTALL,
)
_READING_BY_POST = re.compile(
    r"/api/v1/(?:dify/)?retrieval"
    r"|/v1/(?:kb|document|chunk|dialog|search)/(?:list|next|infos|filter|retrieval_test)"
)


def needed_scope(method: str, path: str) -> Scope:
    reads = method in _READING_METHODS
    if _ADMINISTRATION.fullmatch(path) or (not reads and _ADMINISTRATION_IF_WRITING.fullmatch(path)):
        return Scope.ADMIN
    if _CHATTING.fullmatch(path):
        return Scope.CHAT
    if reads or _READING_BY_POST.fullmatch(path):
        return Scope.READ
    return Scope.WRITE


def require_scope(principal: Principal, method: str, path: str) -> None:
    """Raise LacksScope unless the principal may make this request."""
    scope = needed_scope(method, path)
    if scope not in principal.scopes:
        raise LacksScope(scope)
