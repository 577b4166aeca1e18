from django.db import migrations, models


def vouch(apps, schema_editor):
    """Addresses are proven unless the account was registered by a stranger, which the audit log knows."""
    AuditEntry = apps.get_model('accounts', 'AuditEntry')
    registered = AuditEntry.objects.filter(action='create', object_kind='user', actor_kind='anonymous')
    by_strangers = registered.filter(object_id=models.OuterRef('pk'))
    users = apps.get_model('accounts', 'User').objects.order_by()
    users.filter(~models.Exists(by_strangers) | ~models.Q(login_channel='password')).update(is_email_proven=True)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_login_channel'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='is_email_proven',
            field=models.BooleanField(default=False, help_text='The holder has shown that the address is his own, or who runs this installation vouches for it. Else whoever proves it takes the account over.', verbose_name='address proven'),
        ),
        migrations.RunPython(vouch, migrations.RunPython.noop),
    ]
