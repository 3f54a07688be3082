from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    name = "marketdata"
    verbose_name = "data"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from marketdata.requestlengths import write_lengths

        post_migrate.connect(write_lengths, sender=self, dispatch_uid="marketdata.lengths")
