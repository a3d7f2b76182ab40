"""Frames to windows."""

from openmm_trajgan.buffer.window_buffer import WindowBuffer
from openmm_trajgan.buffer.window_population import Windows

__all__ = ["WindowBuffer", "Windows"]
