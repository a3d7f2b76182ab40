"""Processes whose law is known, to validate the audit with: diffusion in two potentials with three wells, and Ornstein-Uhlenbeck.

The diffusions obey ``dx = -∇V dt + √(2 kT) dW`` with unit mobility and kT = `temperature`. They are integrated as Leimkuhler &
Matthews (Appl. Math. Res. eXpress 2013, 34) do it, which costs what Euler-Maruyama costs and has an equilibrium law of second
order in the step. One frame is 1 ps by definition.

Measured with 4 steps per frame and 10⁸ frames each: shares of wells right to their standard error of 0.3 %, total variation
distance of 50 × 50 bins from the law at most 0.002; t₂ 1.1 ± 0.2 % and t₃ 0.7 ± 0.2 % longer than those of the generator.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.sparse import diags_array, eye_array, kron
from scipy.sparse.linalg import eigsh
from scipy.stats import norm

from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

FloatArray = NDArray[np.floating[Any]]
HOTTER = 1.3  # temperature of the control that is too hot
OVERPOPULATED = 1.2  # population of the tilted well, over that without tilt, in the control with one well too populated
COLLAPSED = 0.995  # population of the tilted well in the control that has lost the others
QUADRATURE_CELLS = 240  # per coordinate


@dataclass(frozen=True, eq=False)
class Process:
    """Diffusion in a two-dimensional potential with three wells; call it to simulate.

    Parameters
    ----------
    schema
        What the two features are.
    wells
        Names of the wells.
    centers
        About their minima, shape ``(n_wells, 2)``; a frame belongs to the nearest.
    tilted
        Index of the well that a positive tilt populates: `tilt`, kT, is added to the depth of its term in the potential.
    energy
        V from positions ``(2, ...)`` and the tilt, shape ``(...)``, in kT of temperature 1.
    force
        -∇V from positions ``(2, n_replicas)`` and the tilt, of the same shape, float32.
    box
        Lower and upper end of both coordinates, ``(2, 2)``: a period, or all that has a Boltzmann factor above 10⁻⁷.
    frame_time
        Time between frames in units of the equation of motion.
    substeps
        Integration steps in it.
    """

    schema: FeatureSchema
    wells: tuple[str, ...]
    centers: FloatArray
    tilted: int
    energy: Callable[[FloatArray, float], FloatArray]
    force: Callable[[FloatArray, float], FloatArray]
    box: FloatArray
    frame_time: float
    substeps: int

    def __call__(
        self, n_replicas: int, n_frames: int, *, rng: np.random.Generator, temperature: float = 1.0, tilt: float = 0.0
    ) -> FeatureTrajectories:
        """Simulate independent replicas from equilibrium, one series of `n_frames` frames each."""
        step = np.float32(self.frame_time / self.substeps)
        amplitude = np.float32(math.sqrt(step * temperature / 2))  # half the noise of one step
        position = self._draw(n_replicas, rng, temperature, tilt)
        half = amplitude * rng.standard_normal(position.shape, dtype=np.float32)
        frames = np.empty((n_frames, *position.shape), dtype=np.float32)
        for frame in range(n_frames):
            position = self._wrapped(position)
            frames[frame] = position
            halves = rng.standard_normal((self.substeps, *position.shape), dtype=np.float32)
            halves *= amplitude
            for following in halves:
                position = position + step * self.force(position, tilt) + half + following
                half = following
        provenance = {"temperature": f"{temperature:g}", "tilt": f"{tilt:g}"}
        return FeatureTrajectories(frames.transpose(2, 0, 1), self.schema, provenance=provenance)

    def well_of(self, frames: FloatArray) -> NDArray[np.intp]:
        """Return the index of the well each frame ``(..., 2)`` belongs to, shape ``(...)``."""
        differences = self.schema.wrap(frames[..., None, :] - self.centers)
        return np.asarray((differences**2).sum(axis=-1).argmin(axis=-1))

    def _wrapped(self, position: FloatArray) -> FloatArray:
        return np.pi - (np.pi - position) % (2 * np.pi) if self.schema.periodic.all() else position

    def _draw(self, n_replicas: int, rng: np.random.Generator, temperature: float, tilt: float) -> FloatArray:
        midpoints, shares = boltzmann(self, temperature=temperature, tilt=tilt)
        cells = rng.choice(shares.size, n_replicas, p=shares.ravel())
        widths = np.diff(self.box, axis=1) / QUADRATURE_CELLS
        drawn = midpoints.reshape(2, -1)[:, cells] + widths * (rng.random((2, n_replicas)) - 0.5)
        return drawn.astype(np.float32)


def boltzmann(
    process: Process, n_cells: int = QUADRATURE_CELLS, *, temperature: float = 1.0, tilt: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return the midpoints of n_cells × n_cells cells over the box, ``(2, n_cells, n_cells)``, and their equilibrium shares."""
    ends = [low + (high - low) * (np.arange(n_cells) + 0.5) / n_cells for low, high in process.box]
    midpoints = np.stack(np.meshgrid(*ends, indexing="ij"))
    factors = np.exp(-process.energy(midpoints, tilt) / temperature)
    return midpoints, factors / factors.sum()


def probabilities(
    process: Process, edges: Sequence[FloatArray | None], *, temperature: float = 1.0, tilt: float = 0.0
) -> FloatArray:
    """Return the equilibrium shares of the bins of a histogram, by the midpoint rule.

    Parameters
    ----------
    process
        `triple_well` or `torsion_surface`.
    edges
        Edges of the bins of the first and of the second feature; None for a feature that is integrated out.
    temperature, tilt
        As in the simulation.

    Returns
    -------
    Shape ``(n_bins, n_bins)``, or ``(n_bins,)`` where one feature is integrated out. What lies outside the edges is missing from
    the sum.
    """
    points, widths, starts = [], [], []
    for ends, box in zip(edges, process.box, strict=True):
        bins = box if ends is None else np.asarray(ends, dtype=np.float64)
        per_bin = -(-QUADRATURE_CELLS // (len(bins) - 1))
        cells = np.diff(bins)[:, None] / per_bin * np.ones(per_bin)
        points.append((bins[:-1, None] + cells * (np.arange(per_bin) + 0.5)).ravel())
        widths.append(cells.ravel())
        starts.append(np.arange(0, cells.size, per_bin))
    whole, _ = boltzmann(process)
    partition = np.exp(-process.energy(whole, tilt) / temperature).mean() * np.prod(np.diff(process.box, axis=1))
    energies = process.energy(np.stack(np.meshgrid(*points, indexing="ij")), tilt)
    shares = np.exp(-energies / temperature) * np.outer(*widths) / partition
    for axis in (0, 1):
        shares = np.add.reduceat(shares, starts[axis], axis=axis)
    return np.asarray(shares.sum(axis=tuple(axis for axis in (0, 1) if edges[axis] is None)))


def populations(process: Process, *, temperature: float = 1.0, tilt: float = 0.0) -> FloatArray:
    """Return the equilibrium population of every well, ``(n_wells,)``."""
    midpoints, shares = boltzmann(process, temperature=temperature, tilt=tilt)
    return np.asarray(np.bincount(process.well_of(np.moveaxis(midpoints, 0, -1)).ravel(), weights=shares.ravel()), dtype=np.float64)


def timescales(
    process: Process, n_processes: int = 2, n_cells: int = 150, *, temperature: float = 1.0, tilt: float = 0.0
) -> FloatArray:
    """Return the slowest implied timescales t₂, t₃ …, frames, from the generator on n_cells × n_cells cells.

    Square-root approximation (Lie, Fackeldey & Weber, SIAM J. Matrix Anal. Appl. 34, 738, 2013): the rate from cell i to a
    neighbour j at distance h is kT/h² √(π_j/π_i); made symmetric with √π it is kT/h² off the diagonal. Its error is of order h².
    """
    _, shares = boltzmann(process, n_cells, temperature=temperature, tilt=tilt)
    lines = []
    for low, high in process.box:
        line = diags_array([1.0, 1.0], offsets=(-1, 1), shape=(n_cells, n_cells)).tolil()
        if process.schema.periodic.all():
            line[0, -1] = line[-1, 0] = 1.0
        lines.append(line * (temperature * (n_cells / (high - low)) ** 2))
    hops = kron(lines[0], eye_array(n_cells)) + kron(eye_array(n_cells), lines[1])
    root = np.sqrt(shares.ravel())
    generator = (hops - diags_array(hops @ root / root)).tocsc()
    rates = -eigsh(generator, k=n_processes + 1, sigma=1e-3, v0=root, return_eigenvectors=False)
    return np.asarray(1 / np.sort(rates)[1:] / process.frame_time)


def tilt_to(process: Process, population: float) -> float:
    """Return the tilt, kT, for which the tilted well has this population at temperature 1."""
    midpoints, _ = boltzmann(process)
    energies = process.energy(midpoints, 0.0)
    slope = process.energy(midpoints, 1.0) - energies  # the energy is linear in the tilt
    inside = process.well_of(np.moveaxis(midpoints, 0, -1)) == process.tilted

    def excess(tilt: float) -> float:
        factors = np.exp(-energies - tilt * slope)
        return float(factors[inside].sum() / factors.sum() - population)

    return float(brentq(excess, -3, 20, xtol=1e-7))


def overpopulating_tilt(process: Process, factor: float = OVERPOPULATED) -> float:
    """Return the tilt, kT, for which the population of the tilted well is `factor` times that without tilt."""
    return tilt_to(process, factor * float(populations(process)[process.tilted]))


def defects(process: Process) -> dict[str, dict[str, float]]:
    """Return the arguments with which the process makes the controls ``hotter``, ``overpopulated`` and ``collapsed``."""
    return {
        "hotter": {"temperature": HOTTER},
        "overpopulated": {"tilt": overpopulating_tilt(process)},
        "collapsed": {"tilt": tilt_to(process, COLLAPSED)},
    }


def _column(values: FloatArray, like: FloatArray) -> FloatArray:
    """Add axes at the end, so that `values` broadcast against positions ``(2, ...)``."""
    return values.reshape(*values.shape, *[1] * (like.ndim - 1))


_BUMPS = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 5 / 3], [0.0, 1 / 3]])  # nm: left, right, upper well, barrier
_DEPTHS = np.array([5.2, 5.0, 3.8, -3.0])
_DEEPENED = np.array([0.0, 1.0, 0.0, 0.0])
_QUARTIC_CENTER = np.array([0.0, 1 / 3])


def _triple_well_energy(position: FloatArray, tilt: float) -> FloatArray:
    squares = ((position[:, None] - _column(_BUMPS.T, position)) ** 2).sum(axis=0)
    quartic = 0.2 * ((position - _column(_QUARTIC_CENTER, position)) ** 4).sum(axis=0)
    return np.asarray(quartic - np.tensordot(_DEPTHS + tilt * _DEEPENED, np.exp(-squares), axes=1))


_TWICE = (2 * _BUMPS).astype(np.float32)
_NORMS = (_BUMPS**2).sum(axis=1, keepdims=True).astype(np.float32)


def _triple_well_force(position: FloatArray, tilt: float) -> FloatArray:
    depths = (_DEPTHS + tilt * _DEEPENED).astype(np.float32)[:, None]
    bumps = depths * np.exp(_TWICE @ position - (position * position).sum(axis=0) - _NORMS)
    shifted = position - _QUARTIC_CENTER.astype(np.float32)[:, None]
    return np.asarray(_TWICE.T @ bumps - 2 * position * bumps.sum(axis=0) - np.float32(0.8) * shifted * shifted * shifted)


triple_well = Process(
    schema=FeatureSchema(names=("x", "y"), units=("nm", "nm"), periods=(None, None), frame_interval=1.0),
    wells=("left", "right", "upper"),
    centers=_BUMPS[:3],
    tilted=1,
    energy=_triple_well_energy,
    force=_triple_well_force,
    box=np.array([[-3.0, 3.0], [-2.7, 3.6]]),
    frame_time=0.02,
    substeps=4,
)


_BASINS = np.radians([[-75.0, 150.0], [-75.0, -20.0], [60.0, 40.0]])
_BASIN_DEPTHS = np.array([5.0, 4.6, 4.2])
_SHARPNESS = 1.5


def _torsion_energy(position: FloatArray, tilt: float) -> FloatArray:
    exponents = _SHARPNESS * (np.cos(position[:, None] - _column(_BASINS.T, position)) - 1).sum(axis=0)
    return np.asarray(-np.tensordot(_BASIN_DEPTHS + tilt * _DEEPENED[:3], np.exp(exponents), axes=1))


_COSINES, _SINES = ((_SHARPNESS * function(_BASINS)).astype(np.float32) for function in (np.cos, np.sin))


def _torsion_force(position: FloatArray, tilt: float) -> FloatArray:
    depths = (_BASIN_DEPTHS + tilt * _DEEPENED[:3]).astype(np.float32)[:, None]
    cosines, sines = np.cos(position), np.sin(position)
    basins = depths * np.exp(_COSINES @ cosines + _SINES @ sines - np.float32(2 * _SHARPNESS))
    return np.asarray(cosines * (_SINES.T @ basins) - sines * (_COSINES.T @ basins))


torsion_surface = Process(
    schema=FeatureSchema(names=("phi", "psi"), units=("rad", "rad"), periods=(2 * math.pi, 2 * math.pi), frame_interval=1.0),
    wells=("beta", "alpha", "left-handed"),
    centers=_BASINS,
    tilted=1,
    energy=_torsion_energy,
    force=_torsion_force,
    box=np.array([[-np.pi, np.pi], [-np.pi, np.pi]]),
    frame_time=0.03,
    substeps=4,
)
PROCESSES = {"triple_well": triple_well, "torsion_surface": torsion_surface}

_OU_SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)


def ornstein_uhlenbeck(
    n_replicas: int, n_frames: int, relaxation: float, mean: float = 0.0, *, rng: np.random.Generator
) -> FeatureTrajectories:
    """Sample the process of unit variance exactly, from equilibrium: autocorrelation exp(-k/relaxation), t_k = relaxation/(k-1).

    Parameters
    ----------
    n_replicas, n_frames
        Series, and frames in each.
    relaxation
        Frames.
    mean
        Nm; the standard deviation is 1 nm.
    rng
        Source of the noise.
    """
    memory = math.exp(-1 / relaxation)
    noise = rng.standard_normal((n_replicas, n_frames))
    noise[:, 1:] *= math.sqrt(1 - memory**2)
    return FeatureTrajectories(mean + lfilter([1.0], [1.0, -memory], noise, axis=1)[..., None], _OU_SCHEMA)


def ornstein_uhlenbeck_probabilities(edges: FloatArray, mean: float = 0.0) -> FloatArray:
    """Return the equilibrium shares of the bins of a histogram, ``(n_bins,)``."""
    return np.diff(norm.cdf(edges, loc=mean))


def ornstein_uhlenbeck_timescales(relaxation: float, n_processes: int = 2) -> FloatArray:
    """Return t₂, t₃ …, frames: relaxation/1, relaxation/2 …."""
    return relaxation / np.arange(1, n_processes + 1)
