"""How to train: numbers of both stages."""

from dataclasses import asdict, dataclass

from openmm_trajgan.arguments import require_between, whole_number


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
        Share of the steps that hide some of the context, half of them all of it, so that trajectories can begin from little or
        nothing.
    given_share
        Share of the steps in which parts of the windows are given, so that the generator learns to draw the rest.
    adversarial_windows, patches_per_window
        Windows per adversarial step, and patches per window and time scale that the critic reads.
    chain_windows
        Windows in a row that the generator writes in the adversarial stage before it begins anew from real frames; fewer where the
        trajectories are short.
    critic_rate, generator_rate
        Adam's learning rates in the adversarial stage; both fall linearly to 2 % over its second half.
    penalty_weight
        λ of the gradient penalty.
    anchor_weight
        Weight of the likelihood in the generator's loss during the adversarial stage.
    critic_head_start
        Share of the adversarial steps in which only the critic learns.

    Raises
    ------
    InputError
        If a share is not between 0 and 1, a count is no positive whole number, or a rate or weight is negative.
    """

    likelihood_share: float = 0.85
    likelihood_windows: int = 1024
    likelihood_frames: int = 768
    likelihood_rate: float = 1e-2
    partial_context_share: float = 0.3
    given_share: float = 0.25
    adversarial_windows: int = 256
    patches_per_window: int = 3
    chain_windows: int = 4
    critic_rate: float = 1e-3
    generator_rate: float = 2e-4
    penalty_weight: float = 10.0
    anchor_weight: float = 1.0
    critic_head_start: float = 0.1

    def __post_init__(self) -> None:
        for name in ("likelihood_share", "partial_context_share", "given_share", "critic_head_start"):
            require_between(getattr(self, name), name, 0, 1)
        for name in ("likelihood_windows", "likelihood_frames", "adversarial_windows", "patches_per_window", "chain_windows"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        for name in ("likelihood_rate", "critic_rate", "generator_rate", "penalty_weight", "anchor_weight"):
            require_between(getattr(self, name), name, 0)

    def as_dict(self) -> dict[str, float]:
        """Plain numbers for a file."""
        return asdict(self)
