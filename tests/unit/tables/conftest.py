"""Two small spreadsheets, as the ingest packs them."""

from __future__ import annotations

import pytest

from ragflow.engine.tables.packing import TablePacker
from ragflow.engine.tables.sandbox import Sheet

EMPLOYEES = [
    ["employee_id", "name", "department", "salary"],
    ["E001", "Alice", "Engineering", "9500"],
    ["E002", "Bob Ray", "Marketing", "8000"],
    ["E003", "Carol", "Engineering", "9000.5"],
]
PRODUCTS = [
    ["product", "price", "unit price (EUR)", "since"],
    ["Wireless Mouse", "79", "1", "2024-01-05"],
    ["Key|board", "120", "", "2024/2/5 10:11"],
]


def sheet_of(rows: list[list[str]], *, document: str = "doc", name: str = "sheet.xlsx") -> Sheet:
    packer = TablePacker()
    headers, *body = rows
    for number, row in enumerate(body):
        packer.add(f"{document}{number}", list(zip(headers, row, strict=True)))
    table = packer.finish()
    assert table is not None
    return Sheet(document, name, "data", table, {f"{document}{number}" for number in range(len(body))})


@pytest.fixture
def sheets() -> list[Sheet]:
    return [
        sheet_of(EMPLOYEES, document="d1", name="employees.xlsx"),
        sheet_of(PRODUCTS, document="d2", name="products.xlsx"),
    ]
