"""What can go wrong: the message is what the user reads."""

from __future__ import annotations


class CommandFailed(Exception):
    """A statement was understood, and could not be done."""


class NotUnderstood(Exception):
    """A line is no statement."""


class LoginFailed(Exception):
    """No session could be had."""
