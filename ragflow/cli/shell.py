"""The prompt: one statement per line, with a history that holds no password."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from ragflow.cli.context import Context
from ragflow.cli.errors import CommandFailed, LoginFailed, NotUnderstood
from ragflow.cli.grammar import Statement
from ragflow.cli.statements import GRAMMAR, help_text, run

PROMPT = "ragflow> "
FAREWELL = "Goodbye!"
REMINDER = r"RAGFlow command line interface - Type '\?' for help, '\q' to quit"
BANNER = (
    "RAGFlow command line interface",
    "------------------------------",
)
HISTORY_FILE = Path("~/.ragflow_cli_history")
_HISTORY_LENGTH = 1000
_HELP = frozenset({"?", "h", "help"})
_QUIT = frozenset({"q", "quit", "exit"})
_MAY_HOLD_SECRET = re.compile(r"password|provider|\b(?:user|key)\b", re.IGNORECASE)


def converse(ctx: Context, *, read: Callable[[str], str], remember: Callable[[str], None]) -> None:
    """Run what is typed until somebody leaves."""
    for line in (*BANNER, r'Type "\h" for help.'):
        ctx.write(line)
    while True:
        try:
            line = read(PROMPT).strip()
        except KeyboardInterrupt:
            ctx.write(r"Use '\q' to quit")
            continue
        except EOFError:
            ctx.write(FAREWELL)
            break
        if line and not _handle(ctx, line, remember):
            break
    ctx.write(REMINDER)


def _handle(ctx: Context, line: str, remember: Callable[[str], None]) -> bool:
    """Do what a line says; False when it says to leave."""
    if line.startswith("\\"):
        remember(line)
        return meta(ctx, line)
    try:
        statement = understood(ctx, line)
        if is_harmless(line, statement):
            remember(line)
        if statement is not None:
            execute(ctx, statement)
    except KeyboardInterrupt:
        ctx.write(r"Interrupted. Use '\q' to quit")
    return True


def meta(ctx: Context, line: str) -> bool:
    """Do what a meta command says; False when it says to leave."""
    name, *arguments = line[1:].split() or [""]
    if name.lower() in _QUIT:
        ctx.write(FAREWELL)
        return False
    if name.lower() in _HELP:
        ctx.write(help_text())
    else:
        ctx.write(f"Meta command '{name}' with args {arguments}")
    return True


def understood(ctx: Context, line: str) -> Statement | None:
    """Return the statement of a line, None after having said what is wrong with it."""
    try:
        return GRAMMAR.statement_of(line)
    except NotUnderstood as error:
        ctx.write(f"Error: Parse error: {error}")
        return None


def execute(ctx: Context, statement: Statement) -> bool:
    """Run a statement and tell whether it could be done; if not, the reason has been written."""
    try:
        run(ctx, statement)
    except (CommandFailed, LoginFailed) as error:
        ctx.write(str(error))
        return False
    except (LookupError, TypeError, AttributeError, ValueError) as error:  # another server, another shape of data
        ctx.write(f"Error: the server's answer has an unexpected form ({type(error).__name__}: {error})")
        return False
    return True


def is_harmless(line: str, statement: Statement | None) -> bool:
    """Tell whether a line may be kept: no password or key is in it, nor in one that was mistyped."""
    return not _MAY_HOLD_SECRET.search(line) if statement is None else not statement.holds_secret


def editing() -> tuple[Callable[[], None], Callable[[str], None]]:
    """Turn on line editing where the platform has it. Return what saves the history and what adds a line to it."""
    try:
        import readline
    except ImportError:
        return (lambda: None), (lambda _line: None)
    path = HISTORY_FILE.expanduser()
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_auto_history(False)
    readline.set_history_length(_HISTORY_LENGTH)

    def save() -> None:
        with contextlib.suppress(OSError):
            path.touch(mode=0o600)
            readline.write_history_file(path)

    return save, readline.add_history
