"""Positions to feature vectors."""
