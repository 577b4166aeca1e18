"""What the administration pages of all apps share: how they show things, and how they ask before they destroy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import helpers
from django.db.models import Field, QuerySet
from django.forms import Form
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

_SHOWN = 20  # rows that a confirmation names


class ReadOnly:
    """Put before an admin class whose rows are looked at and never written here."""

    def has_add_permission(self, *_args: Any) -> bool:
        return False

    def has_change_permission(self, *_args: Any) -> bool:
        return False

    def has_delete_permission(self, *_args: Any) -> bool:
        return False


class ChosenFilter(admin.RelatedFieldListFilter):
    """Shows what a link from another page has chosen, and lets go of it. It does not offer thousands of others."""

    def field_choices(
        self, field: Field[Any, Any], request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[Any]:
        return list(field.get_choices(include_blank=False, limit_choices_to={"pk__in": self.lookup_val or ()}))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)


def bytes_shown(size: int | None) -> str:
    """Return a number of bytes as people read it: `1.2 MB`."""
    return filesizeformat(size or 0)


def counted(number: int, noun: str) -> str:
    """Return `1 document`, `2,000 documents`, `3 audit entries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    return f"{localize(number)} {noun if number == 1 else plural}"


def two_lines(first: object, second: object) -> SafeString:
    """Return a cell with something less important below."""
    return format_html('{}<br><span class="quiet">{}</span>', first, second)


def state_shown(state: str) -> SafeString:
    """Return a state's word in its colour."""
    return format_html('<span class="state {}">{}</span>', state.replace(" ", "-"), state)


def entries_shown(entries: Mapping[str, Any]) -> SafeString:
    """Return an object's entries one a line, those of objects within by both names: `raptor.max_token: 256`."""
    return format_html_join("", "{}: {}<br>", _entries(entries)) or SafeString("-")


def _entries(entries: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for name, value in entries.items():
        if isinstance(value, Mapping) and value:
            yield from _entries(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", _entry(value)


def _entry(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_entry, value)) or "-"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_entry(inner)}" for name, inner in value.items()) or "-"
    text = str(value)
    return "-" if value is None or not text else text if text.isprintable() else repr(text)


def list_link(model: str, text: object, **filters: str) -> SafeString:
    """Return a link to the list of a model (`accounts.apitoken`) with these filters."""
    path = reverse(f"admin:{model.replace('.', '_')}_changelist")
    return format_html('<a href="{}?{}">{}</a>', path, urlencode(filters), localize(text))


def is_confirmed(request: HttpRequest) -> bool:
    """Tell whether an action comes from the page that `ask_first` showed."""
    return "post" in request.POST


def ask_first(
    request: HttpRequest,
    page: admin.ModelAdmin[Any],
    rows: QuerySet[Any],
    *,
    title: str,
    consequences: Sequence[str],
    form: Form | None = None,
) -> TemplateResponse:
    """Return a page that says what an action will do to these rows, and runs the action when it is confirmed.

    A form asks for what the action has to know; its fields are sent along.
    """
    chosen, across = list(rows[: _SHOWN + 1]), request.POST.get("select_across") == "1"
    total = rows.count() if len(chosen) > _SHOWN else len(chosen)
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "shown": chosen[:_SHOWN],
        "more": total - _SHOWN if total > _SHOWN else 0,
        "sent": chosen[:1] if across else rows,
        "all": across,
        "consequences": consequences,
        "form": form,
        "action": request.POST["action"],
        "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
