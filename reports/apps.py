from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "reports"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from reports.services import report_new_result
        from strategies.models import Backtest
        from tradingsite.runs import run_succeeded

        run_succeeded.connect(report_new_result, sender=Backtest, dispatch_uid="reports.report_new_result")
