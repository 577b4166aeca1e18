"""POST /api/v1/datasets."""

from __future__ import annotations


def test_a_dataset_has_every_field_of_the_contract(api, profile):
    data = api.create_dataset("manuals")
    assert data["name"] == "manuals"
