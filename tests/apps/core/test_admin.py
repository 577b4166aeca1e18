"""How the administration pages write numbers of things."""

import pytest

from apps.core.admin import counted


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (1, "document", "1 document"),
        (0, "document", "0 documents"),
        (2, "audit entry", "2 audit entries"),
        (2, "key", "2 keys"),
    ],
)
def test_nouns_follow_their_number(number: int, noun: str, shown: str) -> None:
    assert counted(number, noun) == shown
