from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("documents", "0008_reembedding")]

    operations = [
        migrations.AddIndex(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)),
                fields=["deleted_at"],
                name="document_being_deleted",
            ),
        ),
    ]
