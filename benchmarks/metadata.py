"""What do metadata filters and the summary cost beside raw SQL over the same rows, at the same moment?

    python -m benchmarks.metadata [--documents 113000] [--json FILE]

Each line is the fastest of some runs, in milliseconds of wall time. The baseline is what cannot be avoided: the SELECT
that fetches the same document ids (or counts the same values), sent by hand with the hashes known.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPEATS = 7
BATCH = 2000
MOST_MILLISECONDS = 100  # for a filter


@dataclass(frozen=True)
class Line:
    operation: str
    found: int
    milliseconds: float
    baseline: float
    limit: float | None = None  # milliseconds

    @property
    def passed(self) -> bool:
        return self.limit is None or self.milliseconds <= self.limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=113_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(RAGFLOW_DATA_DIR=folder, DJANGO_SETTINGS_MODULE="ragflow.settings")
        lines = measure(options.documents)
    print(f"{'operation':58} {'found':>8} {'ms':>8} {'raw SQL':>8} {'ratio':>6}")
    for line in lines:
        ratio = line.milliseconds / line.baseline
        mark = "" if line.passed else f"  more than {line.limit:g}"
        print(f"{line.operation:58} {line.found:8} {line.milliseconds:8.1f} {line.baseline:8.1f} {ratio:6.2f}{mark}")
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=2))
    return not all(line.passed for line in lines)


def metadata_of(number: int) -> dict[str, Any]:
    return {
        "author": f"Author {number % 10}",
        "year": 1990 + number % 35,
        "tags": [f"tag {number % 20}", f"tag {number % 7}"],
        "source": f"https://example.org/documents/{number}",
    }


def fill(documents: int) -> str:
    from apps.accounts.models import Tenant
    from apps.accounts.services import create_account
    from apps.datasets.models import KnowledgeBase
    from apps.documents.models import Document, MetadataValue
    from apps.documents.services.metadata import rows_of

    owner = create_account(email="benchmark@example.org")
    dataset = KnowledgeBase.objects.create(tenant=Tenant.objects.get(pk=owner.pk), name="benchmark")
    for start in range(0, documents, BATCH):
        batch = [
            Document(dataset=dataset, name=f"{number}.txt", name_key=f"{number}.txt", meta_fields=metadata_of(number))
            for number in range(start, min(start + BATCH, documents))
        ]
        Document.objects.bulk_create(batch)
        MetadataValue.objects.bulk_create(rows_of(batch))
    return dataset.pk


def fastest(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the milliseconds of the fastest run, and what the last returned."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - start)
    return min(times) * 1000, result


def measure(documents: int) -> list[Line]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from apps.core.paging import Page
    from apps.datasets.models import KnowledgeBase
    from apps.documents.metadata.condition import read_condition
    from apps.documents.metadata.filtering import matching_documents
    from apps.documents.metadata.index import hash_of
    from apps.documents.metadata.summary import summary_of
    from apps.documents.selectors import DocumentFilter, listed_documents

    call_command("migrate", verbosity=0)
    start = time.perf_counter()
    dataset = fill(documents)
    row = KnowledgeBase.objects.get(pk=dataset)
    print(f"{documents} documents written in {time.perf_counter() - start:.1f} s")

    if connection.vendor == "postgresql":  # which otherwise does it by itself, a little later
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE documents_metadatavalue, documents_document")

    def raw(sql: str, *parameters: Any) -> float:
        def run() -> list[Any]:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall()

        return fastest(run)[0]

    def ids_of_key(key: str, rows: int) -> float:
        sql = "SELECT document_id FROM documents_metadatavalue WHERE dataset_id = %s AND key_hash = %s LIMIT %s"
        return raw(sql, dataset, hash_of(key), max(rows, 1))

    def condition(*comparisons: tuple[str, str, Any], logic: str = "and") -> Any:
        names = ("name", "comparison_operator", "value")
        conditions = [dict(zip(names, comparison, strict=True)) for comparison in comparisons]
        return read_condition({"logic": logic, "conditions": conditions})

    lines = []
    asked = [
        ("author is (1 of 10 values)", condition(("author", "is", "author 3"))),
        ("author not is (9 of 10)", condition(("author", "not is", "author 3"))),
        ("year > 2000", condition(("year", ">", 2000))),
        ("tags in two", condition(("tags", "in", ["tag 3", "tag 5"]))),
        ("author is and year > 2000", condition(("author", "is", "author 3"), ("year", ">", 2000))),
        ("author is or year > 2000", condition(("author", "is", "author 3"), ("year", ">", 2000), logic="or")),
        ("source is (all values differ)", condition(("source", "is", metadata_of(7)["source"]))),
        ("source > (all differ)", condition(("source", ">", metadata_of(5)["source"]))),
        ("source not is (all differ)", condition(("source", "not is", metadata_of(7)["source"]))),
        ("source not contains (all differ)", condition(("source", "not contains", metadata_of(7)["source"]))),
        ("source ends with (all differ)", condition(("source", "end with", "7"))),
    ]
    for name, wanted in asked:
        milliseconds, found = fastest(lambda wanted=wanted: matching_documents([dataset], wanted))
        baseline = sum(ids_of_key(comparison.keys[0], found.matched) for comparison in wanted.comparisons)
        lines.append(Line(f"search: {name}", found.matched, milliseconds, baseline, MOST_MILLISECONDS))

        def page(wanted: Any = wanted) -> int:
            rows, total = listed_documents(row, DocumentFilter(), [wanted])
            Page(1).read(rows.order_by("-created_at", "pk"), total)
            return total

        milliseconds, total = fastest(page)
        baseline = sum(ids_of_key(comparison.keys[0], total) for comparison in wanted.comparisons)
        lines.append(Line(f"list, page and total: {name}", total, milliseconds, baseline, MOST_MILLISECONDS))
    grouped = (
        "SELECT key_hash, form, number, text, value_hash, count(*) FROM documents_metadatavalue "
        "WHERE dataset_id = %s GROUP BY key_hash, form, number, text, value_hash"
    )
    milliseconds, summary = fastest(lambda: summary_of(dataset))
    lines.append(
        Line("summary", sum(len(entry.values) for entry in summary.values()), milliseconds, raw(grouped, dataset))
    )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
