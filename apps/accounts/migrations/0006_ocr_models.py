from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_email_proven'),
    ]

    operations = [
        migrations.AlterField(
            model_name='tenantmodel',
            name='type',
            field=models.CharField(choices=[('chat', 'Chat'), ('embedding', 'Embedding'), ('rerank', 'Rerank'), ('image2text', 'Image To Text'), ('speech2text', 'Speech To Text'), ('tts', 'Text To Speech'), ('ocr', 'Ocr')], max_length=16),
        ),
    ]
