"""The two ways to answer, and the only module that knows them.

`standard` answers with honest HTTP statuses and sentences. `exact` answers as the reference server does, for clients
that compare texts and statuses. Code elsewhere asks `profile()` for a policy by name and never for the profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the reference answers to an error: its HTTP status and `code`."""

    status: int = 200
    code: int | None = None  # None: the error's own code


@dataclass(frozen=True, slots=True)
class WireProfile:
    name: str
    outcomes: Mapping[str, Outcome] | None  # by error key; None: statuses are the errors' own
    shows_exception_text: bool  # an unexpected exception is answered with its Python repr
    shows_reference_text: bool  # errors that carry the reference's text answer with it
    retrieval_candidates: Literal["fused", "text_first"]
    counts_every_added_chunk: bool  # adding a chunk that exists counts again
    keeps_token_copy: bool  # tokens can be listed in full, from an encrypted copy
    shows_secret_keys: bool  # a stored key of another service is shown in full to who may change it
    ignores_unreadable_wishes: bool  # a new token whose options cannot be read may do whatever its maker may
    tells_unknown_accounts: bool  # a login or a forgotten password answers whether the address has an account
    takes_plain_passwords: bool  # a password that is no ciphertext counts as the password itself
    files_open_in_browsers: bool  # the file manager sends files without `Content-Disposition`
    counts_matched_documents: bool  # a retrieval with a metadata condition says how many documents satisfy it
    false_stops_highlighting: bool  # `"highlight": false` of a retrieval means it
    metadata_quirks: bool  # filters pass over unknown keys and operators, and depend on the order of values
    anybody_tests_mcp_servers: bool  # without credentials
    provider_failure_is_answer: bool  # an OpenAI client reads of it in the text of an ordinary completion

    def outcome(self, key: str, status: int, code: int) -> tuple[int, int]:
        """Return (HTTP status, code) for an error with this key and these honest values."""
        if self.outcomes is None:
            return status, code
        known = self.outcomes.get(key, Outcome())
        return known.status, code if known.code is None else known.code


_REFERENCE_OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        "authorization_missing": Outcome(200, 0),
        "authorization_malformed": Outcome(200, 0),
        "unauthorized": Outcome(401, 401),
        "route_not_found": Outcome(404, 404),
        "bad_value": Outcome(200, 100),
        "lookup_failed": Outcome(200, 100),
        "malformed_body": Outcome(200, 100),
        "too_large": Outcome(200, 100),
        "password_unreadable": Outcome(200, 500),
        "mail_failed": Outcome(200, 500),
        "share_token_missing": Outcome(200, 100),
        "dify_authorization": Outcome(200, 100),
        "dify_key_invalid": Outcome(403),
        "dify_not_found": Outcome(404),
        "dify_failure": Outcome(500),
        "dify_out_of_range": Outcome(500, 500),
        "admin_refused": Outcome(400),
        "not_administrator": Outcome(403),
        "wrong_admin_method": Outcome(405),
        # The reference has no such errors, so they keep their honest status.
        "lacks_scope": Outcome(403),
        "too_many_requests": Outcome(429),
    }
)

STANDARD = WireProfile(
    name="standard",
    outcomes=None,
    shows_exception_text=False,
    shows_reference_text=False,
    retrieval_candidates="fused",
    counts_every_added_chunk=False,
    keeps_token_copy=False,
    shows_secret_keys=False,
    ignores_unreadable_wishes=False,
    tells_unknown_accounts=False,
    takes_plain_passwords=True,
    counts_matched_documents=True,
    false_stops_highlighting=True,
    metadata_quirks=False,
    files_open_in_browsers=False,
    anybody_tests_mcp_servers=False,
    provider_failure_is_answer=False,
)
EXACT = WireProfile(
    name="exact",
    outcomes=_REFERENCE_OUTCOMES,
    shows_exception_text=True,
    shows_reference_text=True,
    retrieval_candidates="text_first",
    counts_every_added_chunk=True,
    keeps_token_copy=True,
    shows_secret_keys=True,
    ignores_unreadable_wishes=True,
    tells_unknown_accounts=True,
    takes_plain_passwords=False,
    counts_matched_documents=False,
    false_stops_highlighting=False,
    metadata_quirks=True,
    files_open_in_browsers=True,
    anybody_tests_mcp_servers=True,
    provider_failure_is_answer=True,
)


def profile() -> WireProfile:
    return EXACT if EXACT.name == settings.WIRE_PROFILE else STANDARD
