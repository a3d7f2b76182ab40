"""Human α-synuclein, a disordered chain of 140 residues, as one bead per residue in implicit salt water.

The model is CALVADOS 2: bonds of 0.38 nm, an Ashbaugh-Hatch potential whose stickiness λ was learned from experiments on disordered
proteins, and Debye-Hückel electrostatics, at 293.15 K and 0.19 M. Form and the 20 rows of parameters are published data of G. Tesei
and K. Lindorff-Larsen, Open Research Europe 2, 94 (2023), doi:10.12688/openreseurope.14967.2, λ rounded to seven digits; water's
permittivity is that of Akerlof and Oshry, J. Am. Chem. Soc. 72, 2844 (1950). The sequence is UniProt P37840. The code is this
package's own. Beads have the masses of their residues, but friction is 0.01/ps and water has no inertia here: sizes are to be
compared with experiment (radius of gyration 3.55 ± 0.10 nm at 293 K and 0.2 M, among the data of Tesei, Schulze, Crehuet and
Lindorff-Larsen, PNAS 118, e2111696118 (2021)); times are those of the model and much shorter than in water.

A step is 30 fs. All 9591 pairs are evaluated on the ``Reference`` platform, where runs repeat bit for bit. The radius of gyration
relaxes in about 0.1 ns: frames of 3 ps see it move.
"""

import math
from itertools import pairwise

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.distances import Distances
from openmm_trajgan.systems.base import SimulatedSystem, openmm_seed

SEQUENCE = (
    "MDVFMKGLSKAKEGVVAAAEKTKQGVAEAAGKTKEGVLYVGSKTKEGVVHGVATVAEKTKEQVTNVGGAVVTGVTAVAQKTVEGAGSIAAATGFVKKDQL"
    "GKNEEGAPQEGILEDMPVDPDNEAYEMPSEEGYQDYEPEA"
)
TEMPERATURE = 293.15  # K
IONIC_STRENGTH = 0.19  # mol/l
PH = 7.4
# residue: name, mass (amu), stickiness λ, diameter σ (nm), charge (e); histidine's charge follows from pH and its pKa of 6
RESIDUES = {
    "A": ("ALA", 71.07, 0.2743298, 0.504, 0),
    "R": ("ARG", 156.19, 0.7307625, 0.656, 1),
    "N": ("ASN", 114.1, 0.4255859, 0.568, 0),
    "D": ("ASP", 115.09, 0.0416040, 0.558, -1),
    "C": ("CYS", 103.14, 0.5615435, 0.548, 0),
    "Q": ("GLN", 128.13, 0.3934319, 0.602, 0),
    "E": ("GLU", 129.11, 0.0006935, 0.592, -1),
    "G": ("GLY", 57.05, 0.7058844, 0.450, 0),
    "H": ("HIS", 137.14, 0.4663667, 0.608, 1 / (1 + 10 ** (PH - 6))),
    "I": ("ILE", 113.16, 0.5423624, 0.618, 0),
    "L": ("LEU", 113.16, 0.6440005, 0.618, 0),
    "K": ("LYS", 128.17, 0.1790212, 0.636, 1),
    "M": ("MET", 131.2, 0.5308481, 0.618, 0),
    "F": ("PHE", 147.18, 0.8672359, 0.636, 0),
    "P": ("PRO", 97.12, 0.3593127, 0.556, 0),
    "S": ("SER", 87.08, 0.4625417, 0.518, 0),
    "T": ("THR", 101.11, 0.3713163, 0.562, 0),
    "W": ("TRP", 186.22, 0.9893765, 0.678, 0),
    "Y": ("TYR", 163.18, 0.9774611, 0.646, 0),
    "V": ("VAL", 99.13, 0.2083770, 0.586, 0),
}
STEP_SIZE = 0.03  # ps
BOND_LENGTH, BOND_CONSTANT = 0.38, 8033.0  # nm, kJ/mol/nm²
CONTACT_ENERGY, CONTACT_CUTOFF = 0.8368, 2.0  # kJ/mol (0.2 kcal/mol), nm
CHARGE_CUTOFF = 4.0  # nm
_COULOMB = 138.935458  # kJ/mol nm/e²
_PER_CUBIC_NM = 0.602214076  # particles of 1 mol/l
_FRICTION = 0.01  # 1/ps
_COIL_COSINE = 0.6  # between bonds of the starting coil, which makes it as large as the chain is in equilibrium
_EQUILIBRATION_STEPS = 10_000  # 300 ps, from a coil of the right size
_N_FEATURE_BEADS = 28  # every fifth, both ends among them


def bead_parameters() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Masses (amu), λ, σ (nm) and charges (e) of the 140 beads; the ends carry the atoms and charges of the termini."""
    masses, stickiness, diameters, charges = np.array([RESIDUES[letter][1:] for letter in SEQUENCE], dtype=np.float64).T
    masses[[0, -1]] += 2.0, 16.0
    charges[[0, -1]] += 1.0, -1.0
    return masses, stickiness, diameters, charges


def screening() -> tuple[float, float]:
    """Energy of two unit charges times their distance, kJ/mol nm, and inverse Debye length, 1/nm."""
    temperature = TEMPERATURE
    permittivity = 5321 / temperature + 233.76 - 0.9297 * temperature + 1.417e-3 * temperature**2 - 8.292e-7 * temperature**3
    strength = _COULOMB / permittivity
    bjerrum = strength / _thermal_energy()
    return strength, math.sqrt(8 * math.pi * bjerrum * IONIC_STRENGTH * _PER_CUBIC_NM)


def _thermal_energy() -> float:
    """Return kT, kJ/mol."""
    return float(unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)) * TEMPERATURE


def topology() -> app.Topology:
    """140 residues of one α carbon each, bonded along the chain."""
    chain_topology = app.Topology()
    chain = chain_topology.addChain("A")
    atoms = [
        chain_topology.addAtom("CA", app.Element.getBySymbol("C"), chain_topology.addResidue(RESIDUES[letter][0], chain))
        for letter in SEQUENCE
    ]
    for first, second in pairwise(atoms):
        chain_topology.addBond(first, second)
    return chain_topology


def create_system() -> openmm.System:
    """Force field of one chain: bonds, Ashbaugh-Hatch contacts and screened charges of all pairs that are not bonded."""
    masses, stickiness, diameters, charges = bead_parameters()
    system = openmm.System()
    bonds = openmm.HarmonicBondForce()
    for mass in masses.tolist():
        system.addParticle(mass)
    for bead in range(len(masses) - 1):
        bonds.addBond(bead, bead + 1, BOND_LENGTH, BOND_CONSTANT)
    contacts = openmm.CustomBondForce(
        "select(step(r-2^(1/6)*sigma), lambda*(lj-shift), lj-lambda*shift+epsilon*(1-lambda))*step(cutoff-r);"
        "lj=4*epsilon*((sigma/r)^12-(sigma/r)^6); shift=4*epsilon*((sigma/cutoff)^12-(sigma/cutoff)^6);"
        f"epsilon={CONTACT_ENERGY}; cutoff={CONTACT_CUTOFF}"
    )
    contacts.addPerBondParameter("lambda")
    contacts.addPerBondParameter("sigma")
    strength, inverse_length = screening()
    shift = math.exp(-inverse_length * CHARGE_CUTOFF) / CHARGE_CUTOFF
    coulomb = openmm.CustomBondForce(f"qq*(exp(-{inverse_length!r}*r)/r-{shift!r})*step({CHARGE_CUTOFF}-r)")
    coulomb.addPerBondParameter("qq")
    for first, second in zip(*(ends.tolist() for ends in np.triu_indices(len(masses), 2)), strict=True):
        contacts.addBond(first, second, [(stickiness[first] + stickiness[second]) / 2, (diameters[first] + diameters[second]) / 2])
        if charges[first] * charges[second] != 0:
            coulomb.addBond(first, second, [strength * charges[first] * charges[second]])
    for force in (bonds, contacts, coulomb):
        system.addForce(force)
    return system


def random_coil(rng: np.random.Generator) -> NDArray[np.float64]:
    """Positions ``(140, 3)``, nm, of a chain that turns at random by a fixed angle at each bead; beads may overlap."""
    directions = np.empty((len(SEQUENCE) - 1, 3))
    directions[0] = 0.0, 0.0, 1.0
    for bond in range(1, len(directions)):  # each bond needs the one before
        last, sideways = directions[bond - 1], rng.normal(size=3)
        sideways -= (sideways @ last) * last
        directions[bond] = _COIL_COSINE * last + math.sqrt(1 - _COIL_COSINE**2) * sideways / math.sqrt(sideways @ sideways)
    return np.concatenate([np.zeros((1, 3)), BOND_LENGTH * directions.cumsum(axis=0)])


def build(seed: int, n_replicas: int = 1) -> app.Simulation:
    """Return an equilibrated simulation at step 0.

    Parameters
    ----------
    seed
        Seeds the starting coil, velocities and thermostat noise; another seed is an independent replica.
    n_replicas
        Chains in the context; one.

    Raises
    ------
    InputError
        If `n_replicas` is not 1.
    """
    if n_replicas != 1:
        raise InputError(f"alpha-synuclein runs one replica per simulation, found n_replicas={n_replicas}")
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, _FRICTION, STEP_SIZE)
    integrator.setRandomNumberSeed(openmm_seed(seed))
    simulation = app.Simulation(topology(), create_system(), integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(random_coil(np.random.default_rng(seed)))
    simulation.minimizeEnergy(maxIterations=200)
    simulation.context.setVelocitiesToTemperature(TEMPERATURE * unit.kelvin, seed)
    simulation.step(_EQUILIBRATION_STEPS)
    simulation.currentStep = 0
    simulation.context.setTime(0.0)
    return simulation


def features() -> Distances:
    """Distances between 28 beads spread evenly over the chain, 378, the end-to-end distance among them."""
    beads = np.linspace(0, len(SEQUENCE) - 1, _N_FEATURE_BEADS).round().astype(int)
    return Distances.between(topology(), beads, beads)


SYSTEM = SimulatedSystem(
    name="alpha_synuclein",
    title="α-synuclein, one bead per residue (CALVADOS 2), 293 K",
    build=build,
    features=features,
    report_interval=100,
    topology=topology,
    temperature=TEMPERATURE,
)
