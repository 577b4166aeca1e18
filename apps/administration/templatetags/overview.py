"""`{% overview %}`: the state of the installation, for the start page of the administration."""

from __future__ import annotations

from typing import Any

from django import template

from apps.administration.overview import rows

register = template.Library()


@register.inclusion_tag("admin/overview.html", takes_context=True)
def overview(context: dict[str, Any]) -> dict[str, Any]:
    """Show it to whoever may see documents: it counts those of all tenants."""
    return {"rows": rows() if context["user"].has_perm("documents.view_document") else ()}
