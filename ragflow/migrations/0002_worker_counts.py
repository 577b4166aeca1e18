from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ragflow', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='WorkerCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sample', models.CharField(help_text='Its name among the metrics.', max_length=64)),
                ('labels', models.CharField(help_text='As JSON.', max_length=191)),
                ('value', models.FloatField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('sample', 'labels'), name='one_count_per_sample_and_labels')],
            },
        ),
    ]
