"""Learn from an OpenMM simulation while it runs, and generate more of it."""
