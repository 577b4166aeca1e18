from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models

import apps.chats.search_config
from apps.core.crypto import encrypt

KEY = "tavily_api_key"
COLUMNS = {"Assistant": "stored_prompt", "SearchApp": "stored_config"}


def encrypt_keys(apps: Any, _editor: Any) -> None:
    """Take the keys of web searches out of the JSON, where they were readable."""
    for name, column in COLUMNS.items():
        model = apps.get_model("chats", name)
        for row in model.objects.filter(**{f"{column}__has_key": KEY}).iterator():
            stored = getattr(row, column)
            secret = stored[KEY]
            if isinstance(secret, str) and secret:
                del stored[KEY]
                model.objects.filter(pk=row.pk).update(**{column: stored, "encrypted_web_search_key": encrypt(secret)})


class Migration(migrations.Migration):
    dependencies: ClassVar = [("chats", "0003_statistics")]

    operations: ClassVar = [
        migrations.AlterField("assistant", "prompt_config", models.JSONField(db_column="prompt_config", default=dict)),
        migrations.RenameField("assistant", "prompt_config", "stored_prompt"),
        migrations.AlterField(
            "assistant",
            "stored_prompt",
            models.JSONField(
                db_column="prompt_config",
                default=dict,
                help_text="By stored names: system, prologue, quote, parameters, … The key of web searches is kept "
                "apart.",
                verbose_name="prompt",
            ),
        ),
        migrations.AddField(
            "assistant",
            "encrypted_web_search_key",
            models.TextField(blank=True, default="", editable=False),
            preserve_default=False,
        ),
        migrations.AlterField("searchapp", "search_config", models.JSONField(db_column="search_config", default=dict)),
        migrations.RenameField("searchapp", "search_config", "stored_config"),
        migrations.AlterField(
            "searchapp",
            "stored_config",
            models.JSONField(
                db_column="search_config",
                default=apps.chats.search_config.defaults,
                help_text="kb_ids, similarity_threshold, chat_id (a model), … The key of web searches is kept apart.",
                verbose_name="search configuration",
            ),
        ),
        migrations.AddField(
            "searchapp",
            "encrypted_web_search_key",
            models.TextField(blank=True, default="", editable=False),
            preserve_default=False,
        ),
        migrations.RunPython(encrypt_keys, migrations.RunPython.noop),
    ]
