"""Other people's MCP servers, whose tools agents use."""

from ragflow.engine.registry import ANY_HOST
from ragflow.settings.env import Section
from ragflow.settings.security import IS_PERSONAL

_servers = Section("External MCP servers")

PRIVATE_MCP_HOSTS = frozenset(
    host.lower()
    for host in _servers.listed(
        "RAGFLOW_PRIVATE_MCP_HOSTS",
        ANY_HOST if IS_PERSONAL else "",
        shown_default="",
        help="Hosts (name or name:port, separated by commas; * for any) within private networks that tenants may name "
        "as MCP servers. Default of a server that listens on this machine only, with registration closed and no proxy: "
        "*.",
    )
)
