from django.apps import AppConfig


class ScannersConfig(AppConfig):
    name = "scanners"
    default_auto_field = "django.db.models.BigAutoField"
