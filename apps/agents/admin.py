"""Where an operator looks at MCP servers."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts.admin import Audited
from apps.agents.models import TOOLS, MCPServer
from apps.core.admin import ChosenFilter


@admin.register(MCPServer)
class MCPServerAdmin(Audited):
    """Headers and variables are shown by name only, addresses without what may be a secret."""

    audited_as = "MCP server"
    list_display = ("name", "tenant", "transport", "address", "created_at", "updated_at")
    list_select_related = ("tenant",)
    list_filter = ("transport", ("tenant", ChosenFilter))
    search_fields = ("name", "id", "description", "tenant__name")
    fields = (
        *("id", "tenant", "name", "address", "transport", "description"),
        *("header_names", "variable_names", "tool_names", "created_at", "updated_at"),
    )

    @admin.display(description="address")
    def address(self, server: MCPServer) -> str:
        parts = urlsplit(server.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @admin.display(description="headers")
    def header_names(self, server: MCPServer) -> str:
        return self._joined(server.headers)

    @admin.display(description="variables")
    def variable_names(self, server: MCPServer) -> str:
        return self._joined(name for name in server.variables if name != TOOLS)

    @admin.display(description="tools")
    def tool_names(self, server: MCPServer) -> str:
        return self._joined(server.variables.get(TOOLS, {}))

    def _joined(self, names: Iterable[str]) -> str:
        return ", ".join(names) or str(self.get_empty_value_display())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # it is its tenant's, who writes it over the API

    def has_change_permission(self, *_args: object) -> bool:
        return False
