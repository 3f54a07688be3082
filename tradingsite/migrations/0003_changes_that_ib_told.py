from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tradingsite', '0002_leases_and_gateway_links'),
    ]

    operations = [
        migrations.AlterField(
            model_name='configchange',
            name='source',
            field=models.CharField(choices=[('admin', 'admin'), ('web', 'pages'), ('api', 'API'), ('file', 'YAML file'), ('command', 'command line'), ('revert', 'revert'), ('gateway', 'what IB said')], max_length=8),
        ),
    ]
