"""The featurizer that a schema describes, where names, kinds and atoms say enough."""

from itertools import groupby

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.cartesian import Coordinates
from openmm_trajgan.features.concatenate import Concatenate
from openmm_trajgan.features.distances import Distances
from openmm_trajgan.features.torsions import Torsions
from openmm_trajgan.schema import FeatureSchema

_BY_ATOMS = {("torsion", "rad", 4): Torsions, ("distance", "nm", 2): Distances}


class Rebuilt(Concatenate):
    """Featurizers side by side under the schema they were rebuilt from."""

    def __init__(self, parts: list[Featurizer], schema: FeatureSchema) -> None:
        super().__init__(parts)
        self.schema = schema


def from_schema(schema: FeatureSchema) -> Featurizer:
    """Rebuild a featurizer whose schema is `schema`.

    Parameters
    ----------
    schema
        Torsions in rad and distances in nm with their atoms, or the coordinates in nm of one particle, named x, y, z. Kind
        ``"cartesian"`` of one particle counts as its position, since one particle has nothing to be superposed by.

    Raises
    ------
    InputError
        If the schema leaves open how a feature is computed.

    Examples
    --------
    >>> from openmm_trajgan.features import Distances
    >>> featurizer = from_schema(Distances([[0, 1]], ["gap"]).schema)
    >>> featurizer([[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]]), featurizer.schema.names
    (array([2.5], dtype=float32), ('gap',))
    """
    if set(schema.kinds) <= {"position", "cartesian"}:
        return Rebuilt([_coordinates(schema)], schema)
    columns = list(zip(schema.kinds, schema.units, map(len, schema.atoms), strict=True))
    for name, column in zip(schema.names, columns, strict=True):
        if column not in _BY_ATOMS:
            kind, unit, n_atoms = column
            raise InputError(
                f"feature {name!r} of kind {kind!r} in {unit or 'no unit'} with {n_atoms} atoms cannot be rebuilt from its schema; "
                "give what computed it, featurizer=, --system or --latent"
            )
    parts: list[Featurizer] = []
    for column, run in groupby(range(schema.n_features), key=columns.__getitem__):
        rows = list(run)
        parts.append(_BY_ATOMS[column]([schema.atoms[row] for row in rows], [schema.names[row] for row in rows]))
    return Rebuilt(parts, schema)


def _coordinates(schema: FeatureSchema) -> Coordinates:
    axes = "".join(name[:1].lower() for name in schema.names)
    particles = {atoms for atoms in schema.atoms if atoms} or {(0,)}
    if len(particles) > 1 or any(len(atoms) > 1 for atoms in particles) or set(schema.units) != {"nm"}:
        raise InputError(
            f"expected coordinates in nm of one particle, found {', '.join(schema.names[:4])}; "
            "give what computed it, featurizer=, --system or --latent"
        )
    return Coordinates(particles.pop(), axes)
