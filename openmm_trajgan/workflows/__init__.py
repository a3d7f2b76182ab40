"""Whole jobs: a configuration and a function `run` each; the only place that knows all stations."""
