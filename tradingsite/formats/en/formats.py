"""How templates and the admin write times: sortable, and with their zone, which is UTC (TIME_ZONE in the settings)."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = r"Y-m-d H:i\Z"
TIME_FORMAT = r"H:i\Z"
