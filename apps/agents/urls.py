from apps.agents.views import MCPServerViewSet
from apps.core.routes import web_routes

_MCP_SERVERS = {
    "list": {"post": "list"},
    "detail": {"get": "show"},
    "rm": {"post": "remove"},
    "export": {"post": "export"},
    "cache_tools": {"post": "cache_tools"},
}

urlpatterns = web_routes("mcp_server", MCPServerViewSet, _MCP_SERVERS)
