from django.db import migrations

# The durations of one request that IB documents for each length of bar.
LENGTHS = {"1m": "1 D", "5m": "1 W", "15m": "2 W", "30m": "1 M", "1h": "1 M", "1d": "1 Y", "1w": "2 Y"}


def write(apps, schema_editor):
    rows = apps.get_model("marketdata", "RequestLength").objects
    for timeframe, duration in LENGTHS.items():
        rows.get_or_create(timeframe=timeframe, defaults={"duration": duration})


class Migration(migrations.Migration):
    dependencies = [("marketdata", "0003_loads")]

    operations = [migrations.RunPython(write, migrations.RunPython.noop)]
