from tradingsite import history_admin  # noqa: F401
