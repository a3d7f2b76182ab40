"""Frames to windows."""

from openmm_trajgan.buffer.window_buffer import WindowBuffer, Windows

__all__ = ["WindowBuffer", "Windows"]
