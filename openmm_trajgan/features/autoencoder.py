"""A small autoencoder: features to a few numbers and back by two networks trained together."""

from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.arguments import whole_number
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.latent import (
    Decodable,
    Doubles,
    TrainingData,
    latent_schema,
    require_components,
    standard_deviations,
    training_series,
)
from openmm_trajgan.features.periodic import CirclePoints
from openmm_trajgan.seeding import Seeds

_BATCH = 256
_VALIDATION_SHARE = 0.2
_PATIENCE = 10  # epochs without a smaller validation error


class Autoencoder(Decodable):
    """Principal components of the standardised features, bent by two multilayer perceptrons.

    One perceptron adds to the way there, one to the way back. PyTorch trains both together to give the features back; NumPy applies
    them. They begin at zero, so the search begins at the best flat answer and does not tangle the order of points along a curve.
    The last fifth of every series is kept from the gradient; the networks of the epoch with the smallest error on it are the ones
    kept, and training ends when it has not fallen for ten epochs. Each latent has mean 0 and standard deviation 1 over the data.

    Examples
    --------
    >>> from openmm_trajgan.features import Distances
    >>> ring = np.linspace(0, 12 * np.pi, 1000)
    >>> data = np.stack([3 + np.cos(ring), 3 + np.sin(ring)], axis=1)
    >>> encoder = Autoencoder.fit(Distances([[0, 1], [1, 2]]), [data], 1, epochs=3, seed=1)
    >>> encoder.transform(data).shape, encoder.decode(encoder.transform(data)).shape
    ((1000, 1), (1000, 2))
    """

    label = "latent"

    @classmethod
    def fit(
        cls,
        features: Featurizer,
        training: TrainingData,
        n_components: int = 2,
        *,
        hidden: tuple[int, ...] = (64, 32),
        epochs: int = 100,
        seed: int,
    ) -> Self:
        """Fit to training replicas.

        Parameters
        ----------
        features
            The featurizer that made the data.
        training
            Trajectories, a buffer of them, or arrays ``(n_frames, n_features)`` in the units of `features.schema`.
        n_components
            Dimension of the latent.
        hidden
            Widths of the hidden layers of the encoder; the decoder has them the other way round.
        epochs
            Passes over the data at most.
        seed
            Of the weights and of the order of the frames.

        Raises
        ------
        SchemaMismatchError
            If the trajectories hold other features.
        InputError
            If the data do not fit the features or hold fewer than 10 frames, or the latent is no smaller than the features.
        """
        n_components, seed = whole_number(n_components, "n_components"), whole_number(seed, "seed", 0)
        hidden, epochs = tuple(whole_number(width, "hidden") for width in hidden), whole_number(epochs, "epochs")
        settings = (cls.__name__, n_components, hidden, epochs, seed)
        series, fingerprint = training_series(features, training, *settings)
        circle = CirclePoints(features.schema)
        points = [circle.points(values) for values in series]
        n_validation = [int(_VALIDATION_SHARE * len(part)) for part in points]
        if sum(n_validation) < 2:
            raise InputError(f"training data: expected at least 10 frames, found {sum(map(len, points))}; collect more")
        if circle.n_points < 2:
            raise InputError("features: an autoencoder of one number per frame can leave nothing out; use more features or none")
        require_components(n_components, circle.n_points - 1)
        everything = np.concatenate(points)
        mean, scale = everything.mean(axis=0), standard_deviations(everything)
        shown = np.concatenate([part[: len(part) - n] for part, n in zip(points, n_validation, strict=True)])
        kept = np.concatenate([part[len(part) - n :] for part, n in zip(points, n_validation, strict=True)])
        widths = (circle.n_points, *hidden, n_components)
        axes = np.linalg.eigh(np.cov((shown - mean) / scale, rowvar=False))[1][:, ::-1][:, :n_components]
        layers, error = _train((shown - mean) / scale, (kept - mean) / scale, axes, widths, epochs, Seeds(seed))
        standardized = (everything - mean) / scale
        latent = standardized @ axes + _perceptron(standardized, layers["encoder"])
        arrays = {
            "mean": mean,
            "scale": scale,
            "axes": axes,
            "latent_mean": latent.mean(axis=0),
            "latent_scale": standard_deviations(latent),
            "validation_error": np.array(error),
        }
        for part, weights in layers.items():
            arrays |= {f"{part}{index}": array for index, array in enumerate(weights)}
        return cls(features, latent_schema(cls.label, n_components, fingerprint, ""), arrays)

    @property
    def validation_error(self) -> float:
        """Mean square error of the standardised features on the frames kept from the gradient; 1 is worth nothing, 0 is perfect."""
        return float(self._arrays["validation_error"])

    def _layers(self, part: str) -> list[Doubles]:
        names = [name for name in self._arrays if name.startswith(part)]
        return [self._arrays[f"{part}{index}"] for index in range(len(names))]

    def _project(self, points: Doubles) -> Doubles:
        standardized = (points - self._arrays["mean"]) / self._arrays["scale"]
        latent = standardized @ self._arrays["axes"] + _perceptron(standardized, self._layers("encoder"))
        return (latent - self._arrays["latent_mean"]) / self._arrays["latent_scale"]

    def _back(self, latent: Doubles) -> Doubles:
        raw = latent * self._arrays["latent_scale"] + self._arrays["latent_mean"]
        standardized = raw @ self._arrays["axes"].T + _perceptron(raw, self._layers("decoder"))
        return standardized * self._arrays["scale"] + self._arrays["mean"]


def _perceptron(values: Doubles, layers: list[Doubles]) -> Doubles:
    """Apply layers, weights ``(n_in, n_out)`` and bias ``(n_out,)`` in turn, with tanh between them."""
    for index in range(0, len(layers), 2):
        values = (values if index == 0 else np.tanh(values)) @ layers[index] + layers[index + 1]
    return values


def _train(
    shown: Doubles, kept: Doubles, axes: Doubles, widths: tuple[int, ...], epochs: int, seeds: Seeds
) -> tuple[dict[str, list[Doubles]], float]:
    """Layers of the encoder and decoder with the smallest error on `kept`, and that error."""
    import torch

    def network(sizes: tuple[int, ...], generator: torch.Generator) -> torch.nn.Sequential:
        modules: list[torch.nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layer = torch.nn.Linear(n_in, n_out)
            torch.nn.init.xavier_uniform_(layer.weight, generator=generator)
            torch.nn.init.zeros_(layer.bias)
            modules += [layer, torch.nn.Tanh()]
        torch.nn.init.zeros_(layer.weight)
        return torch.nn.Sequential(*modules[:-1])

    def error_of(batch: torch.Tensor) -> torch.Tensor:
        latent = batch @ flat + encoder(batch)
        return torch.nn.functional.mse_loss(latent @ flat.T + decoder(latent), batch)

    weights = seeds.torch("weights")
    encoder, decoder = network(widths, weights), network(widths[::-1], weights)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-3)
    examples, judged = torch.from_numpy(shown).float(), torch.from_numpy(kept).float()
    flat = torch.from_numpy(axes.copy()).float()
    order, best, since_best = seeds.torch("order"), float("inf"), 0
    layers: dict[str, list[Doubles]] = {}
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(examples), generator=order), _BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(error_of(examples[batch]))
            optimizer.step()
        with torch.no_grad():
            error = float(error_of(judged))
        since_best += 1
        if error < best:
            best, since_best = error, 0
            layers = {"encoder": _arrays_of(encoder), "decoder": _arrays_of(decoder)}
        if since_best == _PATIENCE:
            break
    if not layers:
        raise InputError(
            f"training data: the autoencoder found no finite error in {epochs} epochs; check the features for outliers"
        )
    return layers, best


def _arrays_of(network: Any) -> list[NDArray[np.float64]]:
    """Weights ``(n_in, n_out)`` and biases ``(n_out,)`` in turn."""
    return [parameter.detach().numpy().T.astype(np.float64) for parameter in network.parameters()]
