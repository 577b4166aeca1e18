from django.db import migrations, models

# What SQLite's planner would find out in a database with many documents. Until it has counted, which nobody may ever
# make it do, it takes the order of a list for more selective than a name or an id, and reads a whole dataset for one row.
STATISTICS = {
    "document_listed": "100000 1000 1 1",
    "document_name_key": "100000 1000 1",
    "one_live_document_per_name": "100000 1000 1",
    "documents_document_dataset_id_f030e456": "100000 1000",
    "sqlite_autoindex_documents_document_1": "100000 1",
}


def tell_sqlite(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sqlite_schema")  # makes the table of statistics, and reads it
        cursor.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'documents_document'")
        rows = [(name, numbers) for name, numbers in STATISTICS.items()]
        cursor.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('documents_document', %s, %s)", rows)
        cursor.execute("ANALYZE sqlite_schema")


class Migration(migrations.Migration):
    dependencies = [("documents", "0005_tables")]

    operations = [
        migrations.RemoveIndex(model_name="document", name="document_created"),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True)),
                fields=["dataset", "-created_at", "id"],
                name="document_listed",
            ),
        ),
        migrations.RunPython(tell_sqlite, migrations.RunPython.noop),
    ]
