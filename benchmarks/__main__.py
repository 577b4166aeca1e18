"""Every benchmark, one after the other.

    python -m benchmarks [--json FILE] [NAME ...]

Each prints its own table; `--json` collects the figures of all in one file. Run them on a quiet machine: the ratios to
the baselines carry over between machines, the times do not.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

BENCHMARKS: dict[str, list[str]] = {
    "docstore": ["--chunks", "100000"],
    "embedding": [],
    "quality": [],
    "ingest": [],
    "metadata": [],
    "catalogue": [],
    "serving": [],
    "chats": [],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all when none is named")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")

    results: dict[str, object] = {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "machine": platform.machine()}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or BENCHMARKS:
            print(f"\n== {name}", flush=True)
            figures = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", f"benchmarks.{name}", *BENCHMARKS[name], "--json", str(figures)]
            if subprocess.run(command).returncode:
                failed.append(name)
            if figures.exists():
                results[name] = json.loads(figures.read_text())
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    if failed:
        print(f"\nFailed, or missed a target: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
