"""What agents work with: MCP servers of other people."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.accounts.models import Tenant
from apps.core.crypto import sealed
from apps.core.models import Record
from apps.core.names import name_key
from ragflow.engine.mcp import TRANSPORTS

NAME_BYTES = 255
TOOLS = "tools"
"""The variable that keeps the tools of a server, by name, as it described them."""


class MCPServer(Record):
    """An MCP server somewhere, with what a request to it carries. Headers and variables are secrets as a whole."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="mcp_servers")
    name = models.CharField(max_length=NAME_BYTES)
    name_key = models.CharField(max_length=2 * NAME_BYTES, editable=False)
    url = models.CharField("URL", max_length=2048)
    transport = models.CharField(max_length=32, choices=[(name, name) for name in TRANSPORTS])
    description = models.TextField(blank=True)
    encrypted_headers = models.TextField(blank=True, editable=False)
    encrypted_variables = models.TextField(blank=True, editable=False)

    headers = sealed("encrypted_headers")
    variables = sealed("encrypted_variables")

    class Meta(Record.Meta):
        verbose_name = "MCP server"
        indexes: ClassVar = [models.Index(fields=["tenant", "name_key"], name="mcp_servers_by_name")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_key = name_key(self.name)
        super().save(*args, **kwargs)

    def __str__(self) -> str:
        return self.name
