from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    name = "execution"
    verbose_name = "trading"
    default_auto_field = "django.db.models.BigAutoField"
