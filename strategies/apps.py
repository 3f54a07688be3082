from django.apps import AppConfig


class StrategiesConfig(AppConfig):
    name = "strategies"
    verbose_name = "research"
    default_auto_field = "django.db.models.BigAutoField"
