"""Starting the client: its options, the login, and then one statement or a prompt."""

from __future__ import annotations

import argparse
import getpass
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx2

from ragflow.cli import common, shell
from ragflow.cli.client import Client
from ragflow.cli.context import Context
from ragflow.cli.errors import LoginFailed
from ragflow.cli.grammar import Mode

_ATTEMPTS = 3
ADMINISTRATOR, PORT = "admin@ragflow.io", 9381
_DONE, _FAILED, _MISUSED = 0, 1, 2
_INVALID = "Error: Invalid connection arguments"


class _InvalidOptions(Exception):
    pass


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _InvalidOptions(message)


@dataclass(frozen=True, slots=True)
class Start:
    """How the client was started."""

    host: str
    port: int
    mode: Mode
    user: str
    password: str
    public_key: str
    statement: str | None  # None: a prompt
    tells_status: bool  # whether the exit status says how the statement went


def start_of(arguments: Sequence[str], *, administrator: str = ADMINISTRATOR, port: int = PORT) -> Start:
    """Read the options. Raises _InvalidOptions and OSError."""
    parser = _Options(prog="ragflow-cli", add_help=False, allow_abbrev=False)
    parser.add_argument("--help", action="help", help="show this and exit")  # -h is the host
    parser.add_argument("-h", "--host", default="127.0.0.1", help="server (%(default)s)")
    parser.add_argument("-p", "--port", type=int, default=port, help="its port: 9380 here, in both modes (%(default)s)")
    parser.add_argument("-t", "--type", type=Mode, choices=list(Mode), default=Mode.ADMIN, help="mode (admin)")
    parser.add_argument("-u", "--username", default="", help=f"e-mail address (admin mode: {administrator})")
    parser.add_argument("-w", "--password", default="admin", help="for a single statement; a prompt asks for it")
    parser.add_argument("-c", "--command", help="one statement; the exit status tells how it went")
    parser.add_argument("--key", type=Path, help="file of the public key that encrypts passwords")
    parser.add_argument("words", nargs="*", metavar="command WORD", help="one statement; the exit status is always 0")
    sent = parser.parse_args(arguments)
    if not 0 < sent.port < 65536:
        raise _InvalidOptions
    statement = sent.command
    if sent.words:
        keyword, *words = sent.words
        if keyword != "command" or not words or sent.command is not None:
            raise _InvalidOptions
        statement = " ".join(words)
    return Start(
        host=sent.host,
        port=sent.port,
        mode=sent.type,
        user=sent.username or (administrator if sent.type is Mode.ADMIN else ""),
        password=sent.password,
        public_key=sent.key.read_text() if sent.key else "",
        statement=statement,
        tells_status=sent.command is not None,
    )


def main(arguments: Sequence[str] | None = None, *, administrator: str = ADMINISTRATOR, port: int = PORT) -> int:
    """Run the client and return its exit status. What the options leave out is the contract's, or the caller's own.

    After `command ...` that is 0 in every case, as clients of the contract expect; after `-c` it tells how it went.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a terminal cannot show stays readable
    try:
        start = start_of(sys.argv[1:] if arguments is None else arguments, administrator=administrator, port=port)
        client = Client(start.host, start.port, start.mode, public_key=start.public_key)
    except (OSError, UnicodeDecodeError) as error:
        _write(f"Error: the public key cannot be read: {error}")
        return _MISUSED
    except (_InvalidOptions, httpx2.InvalidURL):
        _write(_INVALID)
        return _DONE
    context = Context(client, _write, getpass.getpass, time.sleep)
    try:
        status = _prompt(context, start) if start.statement is None else _single(context, start, start.statement)
    except (KeyboardInterrupt, EOFError):
        _write(shell.FAREWELL)
        status = _FAILED
    except BrokenPipeError:  # whoever read the output has gone
        status = _FAILED
    finally:
        client.close()
    return status if start.tells_status else _DONE


def _single(ctx: Context, start: Start, line: str) -> int:
    statement = shell.understood(ctx, line if line.rstrip().endswith(";") else f"{line};")
    if statement is None:
        return _MISUSED
    if statement.rule.name != common.REGISTER_NAME:
        if not start.user:
            ctx.write("Error: username (-u) is required in user mode")
            ctx.write(_INVALID)
            return _MISUSED
        if not _log_in(ctx, start.user, lambda: start.password, attempts=1):
            return _FAILED
    return _DONE if shell.execute(ctx, statement) else _FAILED


def _prompt(ctx: Context, start: Start) -> int:
    if start.user:
        prompt = f"password for {start.user}: "
        if not _log_in(ctx, start.user, lambda: ctx.ask_password(prompt), attempts=_ATTEMPTS):
            return _FAILED
    save, remember = shell.editing()
    try:
        shell.converse(ctx, read=input, remember=remember)
    finally:
        save()
    return _DONE


def _log_in(ctx: Context, user: str, password: Callable[[], str], *, attempts: int) -> bool:
    for _ in range(attempts):
        try:
            ctx.client.log_in(user, password())
        except LoginFailed as error:
            ctx.write(str(error))
            ctx.write("Can't access server for login (connection failed)")
        else:
            return True
    return False


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
