"""A trained generator to trajectories."""
