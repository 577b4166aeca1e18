import django.db.models.deletion
from django.db import migrations, models

from apps.documents.metadata.index import entries_of

SLICE = 500


def index_existing(apps, schema_editor):
    """Make existing metadata findable, slice by slice."""
    Document = apps.get_model("documents", "Document")
    MetadataValue = apps.get_model("documents", "MetadataValue")
    documents = Document.objects.filter(deleted_at__isnull=True).exclude(meta_fields={}).order_by("pk")
    last = ""
    while slice_ := list(documents.filter(pk__gt=last).only("dataset", "meta_fields")[:SLICE]):
        values = [
            MetadataValue(
                dataset_id=document.dataset_id,
                document_id=document.pk,
                key=entry.key,
                kind=entry.kind,
                value=entry.value,
                key_hash=entry.key_hash,
                equal_hash=0,  # 0007 removes it
                value_hash=entry.value_hash,
            )
            for document in slice_
            for entry in entries_of(document.meta_fields)
        ]
        MetadataValue.objects.bulk_create(values, batch_size=SLICE)
        last = slice_[-1].pk


class Migration(migrations.Migration):
    dependencies = [("datasets", "0001_initial"), ("documents", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="MetadataValue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.TextField()),
                ("kind", models.CharField(blank=True, help_text="What the summary counts it as.", max_length=8)),
                ("value", models.TextField(help_text="JSON")),
                ("key_hash", models.BigIntegerField(editable=False)),
                ("equal_hash", models.BigIntegerField(editable=False, help_text="Values that differ in it are not equal.")),
                ("value_hash", models.BigIntegerField(editable=False, help_text="Of kind and value.")),
                (
                    "dataset",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="datasets.knowledgebase",
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metadata_values",
                        to="documents.document",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["dataset", "key_hash", "equal_hash", "value_hash", "document", "id"],
                        name="metadata_filter",
                    )
                ],
            },
        ),
        migrations.RunPython(index_existing, migrations.RunPython.noop),
    ]
