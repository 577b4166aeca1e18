"""Statements of both modes, and of people without an account."""

from __future__ import annotations

from ragflow.cli.context import Context
from ragflow.cli.errors import CommandFailed
from ragflow.cli.grammar import Mode, Rule


def log_in(ctx: Context, user: str) -> None:
    if not ctx.client.is_alive():
        raise CommandFailed("Server is down")
    ctx.client.log_in(user, ctx.ask_password(f"password for {user}: "))
    ctx.write(f"Login user {user} successfully")


def ping(ctx: Context) -> None:
    if not ctx.client.is_alive():
        raise CommandFailed("Server is down")
    ctx.write("Server is alive")


def show_version(ctx: Context) -> None:
    path = "/version" if ctx.client.mode is Mode.ADMIN else "/system/version"
    version = ctx.call("Fail to show version", "GET", path).data
    ctx.show(version if isinstance(version, dict) else {"version": version})


def register(ctx: Context, user: str, nickname: str, password: str) -> None:
    body = {"email": user, "nickname": nickname, "password": ctx.client.encrypted(password)}
    answer = ctx.call(f"Fail to register user {user}", "POST", "/user/register", json=body)
    ctx.write(f"Register user: {nickname}, email: {user}, password: ******")
    ctx.show(answer.data)


REGISTER_NAME = "REGISTER USER AS PASSWORD"
RULES = (
    Rule("LOGIN USER <user:string>", log_in),
    Rule("PING", ping, benchmarked=True),
    Rule("SHOW VERSION", show_version),
    Rule("REGISTER USER <user:string> AS <nickname:string> PASSWORD <password:string>", register, Mode.USER),
)
