"""Windows to a trained generator."""
