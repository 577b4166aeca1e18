"""Does the database agree with the search index and the file storage?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from apps.documents.services.verifying import CHECKS, GRACE, Check, Finding, findings

_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Compare database, search index and file storage, and list what is left over or does not fit. The exit status "
        "is 1 when something is wrong. It may run while the system is in use."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--repair", action="store_true", help="remove what is left over, and correct counters")
        parser.add_argument(
            "--grace",
            type=float,
            default=GRACE.total_seconds() / 60,
            metavar="MINUTES",
            help="what is younger counts as work in progress (default: %(default)g)",
        )
        parser.add_argument("--all", action="store_true", help=f"list every finding, not {_SHOWN} of each kind")

    def handle(self, *args: Any, **options: Any) -> None:
        self._repairs, self._shown = options["repair"], None if options["all"] else _SHOWN
        grace = timedelta(minutes=options["grace"])
        left = sum(self._examine(check, grace) for check in CHECKS)
        if left:
            self.stderr.write(f"{left} findings. {self._advice()}")
            raise SystemExit(1)

    def _examine(self, check: Check, grace: timedelta) -> int:
        """Print what a check finds. Return how many findings are left after repairing those that can be."""
        found = left = 0
        try:
            for finding in findings(check, grace=grace):
                found += 1
                outcome = self._outcome_of(finding)
                left += outcome != "repaired"
                if self._shown is None or found <= self._shown:
                    self.stdout.write(f"        {finding.sentence}{f': {outcome}' if outcome else ''}")
        except Exception as error:  # noqa: BLE001 -- a store that does not answer is a finding like others
            self.stdout.write(f"        It could not be checked: {str(error) or type(error).__name__}")
            found, left = found + 1, left + 1
        mark = self.style.ERROR("WRONG") if left else self.style.SUCCESS("ok   ")
        number = f" ({found} found, {found - left} repaired)" if found else ""
        self.stdout.write(f"{mark}   {check.title}{number}")
        return left

    def _outcome_of(self, finding: Finding) -> str:
        if not self._repairs:
            return ""
        if finding.repair is None:
            return "not repairable"
        try:
            finding.repair()
        except Exception as error:  # noqa: BLE001 -- the others may still be repaired
            return f"not repaired, {str(error) or type(error).__name__}"
        return "repaired"

    def _advice(self) -> str:
        if self._repairs:
            return "What is left needs a decision: see above."
        return "`manage.py verify --repair` removes what is left over and corrects counters."
