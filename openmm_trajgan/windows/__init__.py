"""Simulation to frames."""
