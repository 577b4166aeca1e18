"""Statements of admin mode: services, users, keys, roles and settings of an installation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from ragflow.cli.context import Context
from ragflow.cli.errors import CommandFailed
from ragflow.cli.grammar import Mode, Rule

_Run = Callable[..., None]


def _user(user: str) -> str:
    return f"/users/{quote(user, safe='@')}"


def _role(role: str) -> str:
    return f"/roles/{quote(role, safe='')}"


# -- services ------------------------------------------------------------------------------------------------------


def show_service(ctx: Context, number: int) -> None:
    service = ctx.call("Fail to show service", "GET", f"/services/{number}").data or {}
    name, message = service.get("service_name"), service.get("message")
    if service.get("status") != "alive":
        raise CommandFailed(f"Service {name} is down, {message}")
    ctx.write(f"Service {name} is alive, ")
    if isinstance(message, dict | list):
        ctx.show(_rows_of(message))
    elif message is not None:
        ctx.write(str(message))


def _rows_of(details: dict[str, Any] | list[Any]) -> Any:
    """Return what is shown of a service: workers with their last heartbeat, or the object as it is."""
    if isinstance(details, list) or not all(isinstance(value, list) for value in details.values()):
        return details
    return [{"task_executor_name": worker, **_latest(beats)} for worker, beats in details.items()]


def _latest(heartbeats: Sequence[Any]) -> dict[str, Any]:
    known = [beat for beat in heartbeats if isinstance(beat, dict)]
    return max(known, key=lambda beat: str(beat.get("now", "")), default={})


def refuse(ctx: Context, number: int, action: str) -> None:
    raise CommandFailed(f"{action} service isn't implemented")


# -- users ---------------------------------------------------------------------------------------------------------


def show_user(ctx: Context, user: str) -> None:
    rows = ctx.call(f"Fail to get user {user}", "GET", _user(user)).data
    ctx.write(f"Showing user: {user}")
    ctx.show(rows[:1] if isinstance(rows, list) else rows, without=["avatar"])


def create_user(ctx: Context, user: str, password: str) -> None:
    body = {"username": user, "password": ctx.client.encrypted(password), "role": "user"}
    answer = ctx.call(f"Fail to create user {user}", "POST", "/users", json=body)
    ctx.write(f"Create user: {user}, password: ******, role: user")
    ctx.show(answer.data)


def drop_user(ctx: Context, user: str) -> None:
    answer = ctx.call("Fail to drop user", "DELETE", _user(user))
    ctx.write(f"Drop user: {user}")
    ctx.write(answer.message)


def alter_password(ctx: Context, user: str, password: str) -> None:
    body = {"new_password": ctx.client.encrypted(password)}
    answer = ctx.call("Fail to alter password", "PUT", f"{_user(user)}/password", json=body)
    ctx.write(f"Alter user: {user}, password: ******")
    ctx.write(answer.message)


def alter_active(ctx: Context, user: str, status: str) -> None:
    if status.lower() not in {"on", "off"}:
        raise CommandFailed(f"Unknown activate status: {status}.")
    body = {"activate_status": status.lower()}
    answer = ctx.call("Fail to alter activate status", "PUT", f"{_user(user)}/activate", json=body)
    ctx.write(f"Alter user {user} activate status, turn {status.lower()}.")
    ctx.write(answer.message)


def alter_admin(ctx: Context, user: str, method: str, verb: str) -> None:
    ctx.write(ctx.call(f"Fail to {verb} {user} admin authorization", method, f"{_user(user)}/admin").message)


def list_owned(ctx: Context, user: str, kind: str) -> None:
    answer = ctx.call(f"Fail to get all {kind} of {user}", "GET", f"{_user(user)}/{kind}")
    ctx.write(f"Listing all {kind} of user: {user}")
    ctx.show(answer.data, without=["avatar"])


# -- keys ----------------------------------------------------------------------------------------------------------


def generate_key(ctx: Context, user: str) -> None:
    answer = ctx.call(f"Failed to generate key for user {user}", "POST", f"{_user(user)}/keys")
    ctx.write(f"Generating API key for user: {user}")
    ctx.show(answer.data)


def list_keys(ctx: Context, user: str) -> None:
    answer = ctx.call(f"Failed to list keys for user {user}", "GET", f"{_user(user)}/keys")
    ctx.write(f"Listing API keys for user: {user}")
    ctx.show(answer.data)


def drop_key(ctx: Context, key: str, user: str) -> None:
    path = f"{_user(user)}/keys/{quote(key, safe='')}"
    answer = ctx.call(f"Failed to drop key for user {user}", "DELETE", path)
    ctx.write(f"Dropping API key for user: {user}")
    ctx.write(answer.message)


# -- roles ---------------------------------------------------------------------------------------------------------


def show_role(ctx: Context, role: str) -> None:
    answer = ctx.call("Fail to list roles", "GET", f"{_role(role)}/permission")
    ctx.write(f"show role: {role}")
    ctx.show(answer.data)


def create_role(ctx: Context, role: str, description: str = "") -> None:
    body = {"role_name": role, "description": description}
    answer = ctx.call(f"Fail to create role {role}", "POST", "/roles", json=body)
    ctx.write(f"create role name: {role}, description: {description}")
    ctx.show(answer.data)


def drop_role(ctx: Context, role: str) -> None:
    answer = ctx.call(f"Fail to drop role {role}", "DELETE", _role(role))
    ctx.write(f"drop role name: {role}")
    ctx.show(answer.data)


def describe_role(ctx: Context, role: str, description: str) -> None:
    failure = f"Fail to update role {role} with description: {description}"
    answer = ctx.call(failure, "PUT", _role(role), json={"description": description})
    ctx.write(f"alter role name: {role}, description: {description}")
    ctx.show(answer.data)


def alter_permission(ctx: Context, actions: Sequence[str], resource: str, role: str, method: str, verb: str) -> None:
    body = {"actions": list(actions), "resource": resource}
    failure = f"Fail to {verb} role {role} with {actions} on {resource}"
    answer = ctx.call(failure, method, f"{_role(role)}/permission", json=body)
    ctx.write(f"{verb} role_name: {role}, resource: {resource}, actions: {actions}")
    ctx.show(answer.data)


def alter_role_of(ctx: Context, user: str, role: str) -> None:
    answer = ctx.call(
        f"Fail to alter user: {user} to role {role}", "PUT", f"{_user(user)}/role", json={"role_name": role}
    )
    ctx.write(f"alter_user_role user_name: {user}, role_name: {role}")
    ctx.show(answer.data)


def show_permission(ctx: Context, user: str) -> None:
    answer = ctx.call(f"Fail to show user: {user} permission", "GET", f"{_user(user)}/permission")
    ctx.write(f"show_user_permission user_name: {user}")
    ctx.show(answer.data)


# -- settings ------------------------------------------------------------------------------------------------------


def set_variable(ctx: Context, name: str, value: str) -> None:
    body = {"var_name": name, "var_value": value}
    ctx.write(ctx.call(f"Fail to set variable {name} to {value}", "PUT", "/variables", json=body).message)


def show_variable(ctx: Context, name: str) -> None:
    ctx.show(ctx.call(f"Fail to get variable {name}", "GET", "/variables", json={"var_name": name}).data)


def show_all(ctx: Context, path: str, failure: str) -> None:
    ctx.show(ctx.call(failure, "GET", path).data)


def _rule(pattern: str, run: _Run, **options: Any) -> Rule:
    return Rule(pattern, run, Mode.ADMIN, options)


RULES = (
    _rule("LIST SERVICES", show_all, path="/services", failure="Fail to get all services"),
    _rule("SHOW SERVICE <number:number>", show_service),
    *(
        _rule(f"{action.upper()} SERVICE <number:number>", refuse, action=action)
        for action in ("Startup", "Shutdown", "Restart")
    ),
    _rule("LIST USERS", show_all, path="/users", failure="Fail to get all users"),
    _rule("SHOW USER <user:string>", show_user),
    _rule("CREATE USER <user:string> <password:string>", create_user),
    _rule("DROP USER <user:string>", drop_user),
    _rule("ALTER USER PASSWORD <user:string> <password:string>", alter_password),
    _rule("ALTER USER ACTIVE <user:string> <status:word>", alter_active),
    _rule("ALTER USER <user:string> SET ROLE <role:word>", alter_role_of),
    _rule("GRANT ADMIN <user:string>", alter_admin, method="PUT", verb="grant"),
    _rule("REVOKE ADMIN <user:string>", alter_admin, method="DELETE", verb="revoke"),
    _rule("LIST DATASETS OF <user:string>", list_owned, kind="datasets"),
    _rule("LIST AGENTS OF <user:string>", list_owned, kind="agents"),
    _rule("GENERATE KEY FOR USER <user:string>", generate_key),
    _rule("LIST KEYS OF <user:string>", list_keys),
    _rule("DROP KEY <key:string> OF <user:string>", drop_key),
    _rule("LIST ROLES", show_all, path="/roles", failure="Fail to list roles"),
    _rule("SHOW ROLE <role:word>", show_role),
    _rule("CREATE ROLE <role:word>", create_role),
    _rule("CREATE ROLE <role:word> DESCRIPTION <description:string>", create_role),
    _rule("DROP ROLE <role:word>", drop_role),
    _rule("ALTER ROLE <role:word> SET DESCRIPTION <description:string>", describe_role),
    _rule(
        "GRANT <actions:words> ON <resource:word> TO ROLE <role:word>", alter_permission, method="POST", verb="grant"
    ),
    _rule(
        "REVOKE <actions:words> ON <resource:word> FROM ROLE <role:word>",
        alter_permission,
        method="DELETE",
        verb="revoke",
    ),
    _rule("SHOW USER PERMISSION <user:string>", show_permission),
    _rule("SET VAR <name:word> <value:word>", set_variable),
    _rule("SHOW VAR <name:word>", show_variable),
    *(
        _rule(f"LIST {kind}", show_all, path=path, failure="Fail to list variables")
        for kind, path in (("VARS", "/variables"), ("CONFIGS", "/configs"), ("ENVS", "/environments"))
    ),
)
