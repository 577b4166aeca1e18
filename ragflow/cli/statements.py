"""All statements, and running one."""

from __future__ import annotations

from ragflow.cli import admin, common, user
from ragflow.cli.benchmark import rule_for
from ragflow.cli.context import Context
from ragflow.cli.errors import CommandFailed
from ragflow.cli.grammar import Grammar, Mode, Statement

RULES = (*common.RULES, *admin.RULES, *user.RULES)
GRAMMAR = Grammar([*RULES, *(rule_for(rule) for rule in RULES if rule.benchmarked)])


def run(ctx: Context, statement: Statement) -> None:
    """Do what a statement says. Raises CommandFailed and LoginFailed."""
    rule = statement.rule
    if rule.mode is not None and rule.mode is not ctx.client.mode:
        raise CommandFailed(f"This command is only allowed in {rule.mode.upper()} mode")
    rule.run(ctx, **statement.values, **rule.options)


def help_text() -> str:
    """Return the statements of both modes and what else a line may be."""
    lines = ["Statements end with a semicolon; keywords may be in any letter case.", ""]
    for title, mode in (("Both modes", None), ("Admin mode", Mode.ADMIN), ("User mode", Mode.USER)):
        lines.append(f"{title}:")
        lines += [f"  {_example(rule.pattern)};" for rule in RULES if rule.mode is mode]
    return "\n".join([*lines, "  BENCHMARK <concurrency> <iterations> <statement>;", "", *_META])


def _example(pattern: str) -> str:
    """Return a pattern as a user writes it: texts in quotes, other slots in angle brackets."""
    return " ".join(_symbol(part) for part in pattern.split())


def _symbol(part: str) -> str:
    name, _, kind = part.strip("<>").partition(":")
    if not kind:
        return part
    if kind == "strings":
        return f"'{name}, ...'"
    return f"'{name}'" if kind == "string" else f"<{name}{', ...' if kind == 'words' else ''}>"


_META = (
    "Meta commands:",
    r"  \?, \h, \help     this text",
    r"  \q, \quit, \exit  leave",
)
