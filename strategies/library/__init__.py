"""The strategies that come with the project, each also a model of how to write one.

`ma_crossover`: arrays, stated where something happens. `momentum`: arrays, stated at every bar. `breakout`: arrays
with a bracket. `mean_reversion`: a decision at each bar, with state.
"""
