from __future__ import annotations

from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models

SLICE = 1000


def draw_on_the_unknown(apps: Any, _editor: Any) -> None:
    """Say of every conversation so far that nobody knows what its answers are from."""
    session, source = apps.get_model("chats", "Session"), apps.get_model("chats", "SessionSource")
    asked = apps.get_model("chats", "Message").objects.filter(session=models.OuterRef("pk"), role="user")
    ids = list(session.objects.filter(models.Exists(asked)).values_list("pk", flat=True))
    source.objects.bulk_create([source(session_id=id_, dataset_id="") for id_ in ids], batch_size=SLICE)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("chats", "0004_web_search_keys")]

    operations: ClassVar = [
        migrations.CreateModel(
            "SessionSource",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("dataset_id", models.CharField(blank=True, max_length=32)),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sources",
                        to="chats.session",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("session", "dataset_id"), name="each_source_once_per_session")
                ]
            },
        ),
        migrations.RunPython(draw_on_the_unknown, migrations.RunPython.noop),
    ]
