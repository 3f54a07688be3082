"""What is stored here, as a market to simulate: instruments become listings, bars the prices between which is traded."""

from __future__ import annotations
