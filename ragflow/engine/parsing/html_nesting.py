"""Refusing pages that would keep the HTML parser busy for hours.

For every tag the parser may walk up all elements that are open, and for every attribute along all that its tag has. It
is compiled code that neither a time limit nor a cancelled task can stop, so such pages are recognised before.
"""

from __future__ import annotations

import re
from collections import Counter

from ragflow.engine.errors import LimitExceeded

MOST_STEPS = 1_000_000_000
"""What is walked over in all, which takes some seconds: that of 40,000 elements never closed, or 30,000 attributes."""
LONG_TAG = 1000
"""Characters. The attributes of shorter tags are too few to matter."""

TAG = re.compile(r"""<(/?)([A-Za-z][^\s/>]*)((?:"[^"]*"|'[^']*'|[^"'>])*)""")
QUOTED = re.compile(r""""[^"]*"|'[^']*'""")
RAW = frozenset(("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"))
"""Up to their end tag there are no tags in these."""
NEVER_NESTED = frozenset(
    (
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"),
        # The next of their kind, or the end of what they are in, closes these.
        *("html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "rt", "rp", "a", "button", "nobr"),
        *("caption", "colgroup", "thead", "tbody", "tfoot", "tr", "td", "th"),
    )
)


def check_nesting(markup: str) -> None:
    """Raise LimitExceeded for markup with so many open elements or attributes that it cannot be parsed in time."""
    most = max(markup.count("<"), len(markup) // 2)
    if most * most <= MOST_STEPS:
        return
    opened: Counter[str] = Counter()
    depth = steps = position = 0
    while (tag := TAG.search(markup, position)) and steps <= MOST_STEPS:
        position = tag.end()
        name, rest = tag[2].lower(), tag[3]
        if tag[1]:
            if opened[name]:
                opened[name] -= 1
                depth -= 1
        elif name in RAW:
            position = _end_of_raw(markup, name, position)
        elif name not in NEVER_NESTED and not (rest.endswith("/") and (opened["svg"] or opened["math"])):
            opened[name] += 1
            depth += 1
        steps += depth
        if len(rest) > LONG_TAG:
            steps += _attributes_of(rest) ** 2
    if steps > MOST_STEPS:
        raise LimitExceeded("The HTML is nested too deeply, or a tag has too many attributes, to be read.")


def _end_of_raw(markup: str, name: str, start: int) -> int:
    end = re.compile(f"</{name}", re.IGNORECASE).search(markup, start)
    return end.start() if end else len(markup)


def _attributes_of(rest: str) -> int:
    """Return about how many attributes a tag has. A slash separates them, too, outside their values."""
    return sum(1 + word.partition("=")[0].count("/") for word in QUOTED.sub("", rest).split())
