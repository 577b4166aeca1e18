import apps.core.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_audit_retention'),
    ]

    operations = [
        migrations.CreateModel(
            name='LangfuseKeys',
            fields=[
                ('id', models.CharField(default=apps.core.ids.new_id, editable=False, max_length=32, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, db_index=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('host', models.CharField(max_length=512)),
                ('public_key', models.CharField(max_length=255)),
                ('encrypted_secret_key', models.TextField(editable=False)),
                ('tenant', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='langfuse_keys', to='accounts.tenant')),
            ],
            options={
                'verbose_name': 'Langfuse keys',
                'verbose_name_plural': 'Langfuse keys',
                'ordering': ['-created_at', '-id'],
                'abstract': False,
            },
        ),
    ]
