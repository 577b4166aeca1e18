from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datasets", "0002_vector_spaces")]

    operations = [
        migrations.AddIndex(
            model_name="knowledgebase",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True)),
                fields=["tenant", "-created_at", "id"],
                name="dataset_listed",
            ),
        ),
    ]
