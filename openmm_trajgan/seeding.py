"""One root seed, from which each named purpose draws its own generator."""

import secrets
import zlib
from typing import TYPE_CHECKING

import numpy as np

from openmm_trajgan.arguments import whole_number

if TYPE_CHECKING:
    import torch


class Seeds:
    """Independent random generators derived from one root seed by name.

    A purpose (``"weights"``, ``"windows"``, ``"noise"`` …) always gets the same generator from the same root seed, whatever else
    was drawn before.

    Parameters
    ----------
    root
        Non-negative integer, or None for fresh entropy; `root` holds the integer used either way.

    Raises
    ------
    InputError
        If `root` is negative or no whole number.

    Examples
    --------
    >>> bool(Seeds(1).numpy("windows").integers(100) == Seeds(1).numpy("windows").integers(100))
    True
    >>> Seeds(1).integer("dynamics") != Seeds(2).integer("dynamics")
    True
    """

    def __init__(self, root: int | None = None) -> None:
        self.root = secrets.randbits(31) if root is None else whole_number(root, "seed", 0)

    def _sequence(self, purpose: str) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.root, spawn_key=(zlib.crc32(purpose.encode()),))

    def numpy(self, purpose: str) -> np.random.Generator:
        """NumPy generator for `purpose`."""
        return np.random.default_rng(self._sequence(purpose))

    def torch(self, purpose: str, device: str = "cpu") -> "torch.Generator":
        """PyTorch generator on `device` for `purpose`."""
        import torch

        return torch.Generator(device).manual_seed(self.integer(purpose))

    def integer(self, purpose: str) -> int:
        """Integer in [1, 2³¹) for `purpose`, for libraries that take one, such as OpenMM integrators."""
        return int(self._sequence(purpose).generate_state(1)[0] >> 1) or 1
