"""Positions to feature vectors."""

from openmm_trajgan.features.autoencoder import Autoencoder
from openmm_trajgan.features.base import BlockFeaturizer, Featurizer
from openmm_trajgan.features.cartesian import AlignedCartesian, Coordinates
from openmm_trajgan.features.collective_variables import RMSD, CollectiveVariable, RadiusOfGyration
from openmm_trajgan.features.concatenate import Concatenate
from openmm_trajgan.features.contacts import Contacts, NativeContacts
from openmm_trajgan.features.distances import Distances
from openmm_trajgan.features.from_schema import from_schema
from openmm_trajgan.features.latent import PCA, TICA, VAMP, Latent
from openmm_trajgan.features.ligand import CentroidDistance, LigandDisplacement
from openmm_trajgan.features.torsions import Torsions

__all__ = [
    "PCA",
    "RMSD",
    "TICA",
    "VAMP",
    "AlignedCartesian",
    "Autoencoder",
    "BlockFeaturizer",
    "CentroidDistance",
    "CollectiveVariable",
    "Concatenate",
    "Contacts",
    "Coordinates",
    "Distances",
    "Featurizer",
    "Latent",
    "LigandDisplacement",
    "NativeContacts",
    "RadiusOfGyration",
    "Torsions",
    "from_schema",
]
