from django.apps import AppConfig


class StrategiesConfig(AppConfig):
    name = "strategies"
    verbose_name = "research"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from marketdata.signals import series_rebuilt
        from strategies.restating import mark_backtests

        series_rebuilt.connect(mark_backtests, dispatch_uid="strategies.mark_backtests")
