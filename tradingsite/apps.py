from django.apps import AppConfig


class TradingSiteConfig(AppConfig):
    name = "tradingsite"
    verbose_name = "platform"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        import tradingsite.checks  # noqa: F401 - registers them
        from tradingsite.roles import write_roles
        from tradingsite.ticks import write_ticks

        post_migrate.connect(write_roles, sender=self, dispatch_uid="tradingsite.roles")
        post_migrate.connect(write_ticks, sender=self, dispatch_uid="tradingsite.ticks")
