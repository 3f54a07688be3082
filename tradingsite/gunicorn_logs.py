"""For gunicorn's --logger-class: its lines in the form of all others."""

from __future__ import annotations

import os
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from tradingsite.logs import Formatter


class Logger(GunicornLogger):
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        style = os.environ.get("LOG_FORMAT", "text").lower()
        for log in (self.error_log, self.access_log):
            log.propagate = False
            for handler in log.handlers:
                handler.setFormatter(Formatter("json" if style == "json" else "text"))
