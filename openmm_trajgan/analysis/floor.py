"""How far MD itself is from MD, as a function of its length, and which length of MD a discrepancy is worth."""

from dataclasses import dataclass

import numpy as np

from openmm_trajgan.analysis.metric import Figure, FloatArray
from openmm_trajgan.analysis.uncertainty import CONFIDENCE, LEAST_SUPPORTED, Estimate, Evaluate

N_LENGTHS = 5
LONGEST = 10.0  # times the reference: its own noise hides what longer data would add

QUANTILES = ((1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True, eq=False)
class FloorCurve:
    """One figure of MD against other MD of growing length.

    Between the lengths that the MD at hand allows, the curve is interpolated; beyond them the discrepancy d of a length n against
    a reference of length N follows d ∝ 1/n + 1/N, as the variance of any average over frames does.

    Parameters
    ----------
    figure
        What is measured.
    lengths
        Frames, ascending, ``(n_lengths,)``.
    values
        The figure of random parts of MD, ``(n_lengths, n_draws)``; NaN where there is no number.
    n_reference
        Frames of the reference.
    """

    figure: Figure
    lengths: FloatArray
    values: FloatArray
    n_reference: int

    def scatter(self, n_frames: int) -> FloatArray:
        """Return what parts of MD of a length give, ``(n_draws,)``: the nearest length of the curve, rescaled by 1/n + 1/N."""
        nearest = int(np.abs(np.log(self.lengths / n_frames)).argmin())
        return _rescaled(self.figure, self.values[nearest], self._noise(n_frames) / self._noise(self.lengths[nearest]))

    def at(self, n_frames: int) -> Estimate | None:
        """Return what MD of a length gives, median and range of 90 %; None where MD supports no number."""
        scatter = self.scatter(n_frames)
        found = scatter[np.isfinite(scatter)]
        if len(found) < LEAST_SUPPORTED * len(scatter):
            return None
        low, middle, high = np.quantile(found, QUANTILES)
        return Estimate(float(middle), float(low), float(high))

    def md_equivalent(self, value: float) -> Estimate | None:
        """Return the length of MD whose figure is typically as far off, in frames.

        The length at which half of all MD is further off, and those at which 5 % and 95 % are: for independent MD the interval
        holds its length with 90 %. Infinite where the noise of the reference hides the difference.

        Parameters
        ----------
        value
            The figure of the data.
        """
        discrepancies = self.figure.discrepancy(self.values)
        supported = np.isfinite(discrepancies).mean(axis=1) >= LEAST_SUPPORTED
        if not supported.any():
            return None
        observed = float(self.figure.discrepancy(np.array([value]))[0])
        with np.errstate(invalid="ignore"):
            curves = np.nanquantile(discrepancies[supported], QUANTILES, axis=1)
        low, middle, high = (self._length(curve, self.lengths[supported], observed) for curve in curves)
        return Estimate(middle, low, high)

    def _noise(self, n_frames: float) -> float:
        return 1 / n_frames + 1 / self.n_reference

    def _length(self, curve: FloatArray, lengths: FloatArray, observed: float) -> float:
        curve = np.minimum.accumulate(curve)
        end = 0 if observed >= curve[0] else -1 if observed <= curve[-1] else None
        if end is None:
            with np.errstate(divide="ignore"):
                return float(np.exp(np.interp(-np.log(observed), -np.log(curve), np.log(lengths))))
        if not curve[end] > 0:
            return float("inf") if observed <= 0 or end == -1 else 0.0
        noise = self._noise(lengths[end]) * observed / curve[end] - 1 / self.n_reference
        length = 1 / noise if noise > 0 else np.inf
        return float(length if length <= LONGEST * self.n_reference else np.inf)


def floor_curves(
    figures: tuple[Figure, ...],
    evaluate: Evaluate,
    sizes: FloatArray,
    n_reference: int,
    n_data: int,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[FloorCurve, ...]:
    """Divide MD at random into a reference and a further part of growing length, and measure one against the other.

    Parameters
    ----------
    figures
        What is measured.
    evaluate
        Figures of weighted blocks of all MD, ``(n, n_blocks)`` for either part.
    sizes
        Frames of each block of MD, ``(n_blocks,)``.
    n_reference, n_data
        Frames of the reference and of the data that will be judged.
    n_draws
        Divisions for each length.
    rng
        Source of randomness.
    """
    n_blocks = len(sizes)
    most = max(n_blocks - round(n_reference / sizes.mean()), n_blocks // 2)
    wanted = {1, most, *np.geomspace(1, most, N_LENGTHS).round().astype(int).tolist()}
    wanted |= {min(max(round(n_data / sizes.mean()), 1), most)}
    counts = np.array(sorted(wanted))
    n_other = np.minimum(round(n_reference / sizes.mean()), n_blocks - counts).clip(1)
    order = np.argsort(rng.random((len(counts), n_draws, n_blocks)), axis=2)  # the rank of a block says which part it goes to
    data = (order < counts[:, None, None]).reshape(-1, n_blocks).astype(np.float64)
    reference = (order >= n_blocks - n_other[:, None, None]).reshape(-1, n_blocks).astype(np.float64)
    values = evaluate(reference, data).reshape(len(counts), n_draws, len(figures))
    lengths = counts * sizes.mean()
    # what the reference part lacks to the full one makes it noisier
    factor = (1 / lengths + 1 / n_reference) / (1 / lengths + 1 / (n_other * sizes.mean()))
    return tuple(
        FloorCurve(figure, lengths, _rescaled(figure, values[..., index], factor[:, None]), n_reference)
        for index, figure in enumerate(figures)
    )


def _rescaled(figure: Figure, values: FloatArray, factor: FloatArray | float) -> FloatArray:
    """Values whose discrepancies are larger by a factor."""
    if figure.kind == "ratio":
        with np.errstate(divide="ignore"):
            return np.asarray(np.exp(np.log(values) * np.sqrt(factor)))
    if figure.kind == "difference":
        return values * np.sqrt(factor)
    return 1 - (1 - values) * factor if figure.kind == "share" else values * factor
