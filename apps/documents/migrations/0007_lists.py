import json

from django.db import migrations, models

from apps.core.models import CodePointText
from apps.documents.metadata.index import Form, comparable

SLICE = 5000
LIVE = models.Q(("deleted_at__isnull", True))

# See 0006: what SQLite's planner would find out in a database with many documents.
STATISTICS = {
    "document_updated": "100000 1000 1 1",
    "document_state": "100000 1000 500 1 1",
}


def compare_existing(apps, schema_editor):
    """Let the database compare what is there, slice by slice."""
    values = apps.get_model("documents", "MetadataValue").objects.order_by("pk")
    last = 0
    while slice_ := list(values.filter(pk__gt=last).values_list("pk", "value")[:SLICE]):
        found = [(comparable(json.loads(value)), pk) for pk, value in slice_]
        rows = [(value.form, value.number, value.text, pk) for value, pk in found]
        with schema_editor.connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE documents_metadatavalue SET form = %s, number = %s, text = %s WHERE id = %s", rows
            )
        last = slice_[-1][0]


def tell_sqlite(apps, schema_editor):
    if schema_editor.connection.vendor != "sqlite":
        return
    with schema_editor.connection.cursor() as cursor:
        rows = [(name, numbers) for name, numbers in STATISTICS.items()]
        cursor.executemany("DELETE FROM sqlite_stat1 WHERE idx = %s", [(name,) for name in STATISTICS])
        cursor.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('documents_document', %s, %s)", rows)
        cursor.execute("ANALYZE sqlite_schema")


class Migration(migrations.Migration):
    dependencies = [("documents", "0006_document_list")]

    operations = [
        migrations.RemoveIndex(model_name="metadatavalue", name="metadata_filter"),
        migrations.RemoveField(model_name="metadatavalue", name="equal_hash"),
        migrations.AddField(
            model_name="metadatavalue",
            name="form",
            field=models.PositiveSmallIntegerField(
                default=Form.OTHER, editable=False, help_text="How a database compares it: see `Form`."
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="metadatavalue",
            name="number",
            field=models.FloatField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="metadatavalue",
            name="text",
            field=CodePointText(default="", editable=False, help_text="Of the value, in lower case."),
            preserve_default=False,
        ),
        migrations.RunPython(compare_existing, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="metadatavalue",
            index=models.Index(
                fields=["dataset", "key_hash", "form", "number", "text", "value_hash", "document", "id"],
                name="metadata_filter",
            ),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(condition=LIVE, fields=["dataset", "-updated_at", "id"], name="document_updated"),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(condition=LIVE, fields=["dataset", "state", "-created_at", "id"], name="document_state"),
        ),
        migrations.RunPython(tell_sqlite, migrations.RunPython.noop),
    ]
