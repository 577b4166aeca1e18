from django.db import migrations

TABLE = 'accounts_auditentry'
RAISE = "RAISE EXCEPTION 'Audit entries are never changed or deleted.'"

# What removes old entries announces itself within its transaction (apps.accounts.services.retention).
ANNOUNCED = (
    f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN IF TG_OP = 'DELETE' AND current_setting('ragflow.forgets_audit_entries', true) = 'yes' THEN "
    f"RETURN OLD; END IF; {RAISE}; END $$"
)
NEVER = f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {RAISE}; END $$"


def allow(apps, schema_editor):
    _execute(schema_editor, ANNOUNCED)


def refuse(apps, schema_editor):
    _execute(schema_editor, NEVER)


def _execute(schema_editor, statement):
    if schema_editor.connection.vendor == 'postgresql':
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_ocr_models'),
    ]

    operations = [
        migrations.RunPython(allow, refuse),
    ]
