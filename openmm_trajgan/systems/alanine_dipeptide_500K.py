"""Alanine dipeptide in implicit water at 500 K, where φ crosses to its left-handed side within nanoseconds.

All else is as in `alanine_dipeptide`. It is a model of a rare event, not of water at 500 K.
"""

from dataclasses import replace
from functools import partial

from openmm_trajgan.systems import alanine_dipeptide

TEMPERATURE = 500.0  # K

build = partial(alanine_dipeptide.build, temperature=TEMPERATURE)

SYSTEM = replace(
    alanine_dipeptide.SYSTEM,
    name="alanine_dipeptide_500K",
    title="alanine dipeptide in implicit water, 500 K",
    build=build,
    temperature=TEMPERATURE,
)
