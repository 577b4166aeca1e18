from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """An assistant may name a dataset more than once."""

    dependencies: ClassVar = [("chats", "0005_session_sources")]

    operations: ClassVar = [
        migrations.RemoveConstraint(model_name="assistantdataset", name="each_dataset_once_per_assistant")
    ]
