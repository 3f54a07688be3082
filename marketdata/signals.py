"""What market data tells the apps above it."""

from django.dispatch import Signal

series_rebuilt = Signal()
"""Sent with `instrument`, `timeframe`, `what` and `adjustment` inside the transaction that swaps the bars."""
