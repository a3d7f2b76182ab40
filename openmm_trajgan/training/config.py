"""How to train: numbers of both stages."""

from dataclasses import asdict, dataclass, replace

_DROPOUT, _FEW_FRAMES, _MANY_FRAMES = 0.1, 100_000, 200_000


@dataclass(frozen=True)
class TrainingConfig:
    """How to train a generator against a critic.

    Parameters
    ----------
    likelihood_share
        Share of the training steps spent on likelihood alone.
    likelihood_windows, likelihood_frames
        Real windows per step, and midpoints per level that enter the likelihood.
    likelihood_rate
        Adam's learning rate at the start of the likelihood stage; it falls linearly to 2 %.
    partial_context_share
        Share of the steps that hide part of the context, so that trajectories can begin from little or nothing.
    dropout
        Share of hidden units left out at random at the start of the likelihood stage. It falls linearly to none at its end, since
        laws learned with units left out are too wide without. None chooses by the amount of data: 0.1 up to 100,000 frames, half of
        that for 200,000, and none for more, since more data leave less to be learned by heart and it takes a sixth of the time.
    given_share
        Share of the steps in which parts of the windows are given, so that the generator learns to draw the rest.
    adversarial_windows, patches_per_window
        Windows per adversarial step, and patches per window and time scale that the critic reads.
    critic_rate, generator_rate
        Adam's learning rates in the adversarial stage; both fall linearly to 2 % over its second half.
    penalty_weight
        λ of the gradient penalty.
    anchor_weight
        Weight of the likelihood in the generator's loss during the adversarial stage.
    critic_head_start
        Share of the adversarial steps in which only the critic learns.
    """

    likelihood_share: float = 0.75
    likelihood_windows: int = 1024
    likelihood_frames: int = 768
    likelihood_rate: float = 1e-2
    partial_context_share: float = 0.15
    dropout: float | None = None
    given_share: float = 0.25
    adversarial_windows: int = 48
    patches_per_window: int = 6
    critic_rate: float = 1e-3
    generator_rate: float = 2e-4
    penalty_weight: float = 10.0
    anchor_weight: float = 1.0
    critic_head_start: float = 0.1

    def suited(self, n_frames: int) -> "TrainingConfig":
        """Return it with what is None chosen for this many frames of training data."""
        if self.dropout is not None:
            return self
        return replace(self, dropout=0.0 if n_frames > _MANY_FRAMES else _DROPOUT * min(1.0, _FEW_FRAMES / max(n_frames, 1)))

    def as_dict(self) -> dict[str, float | None]:
        """Plain numbers for a file."""
        return asdict(self)
