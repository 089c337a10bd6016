"""What the nets of diffusers that design proteins take: one tensor a property of residues, of their atoms and of their pairs."""

from __future__ import annotations

from collections.abc import Mapping

from porting.types import InputSpec

from ._diffusers_calls import Call, floats, ids, level, points

_ATOMS = 37
"""The atoms that the residues of proteins have names for."""
_SIZES = {"batch": 2, "residues": 11}
_PADDING = InputSpec("padding_mask", "bool", ("batch", "residues"), "mask")


def _bits(name: str, *more: int | str) -> InputSpec:
    return InputSpec(name, "bool", ("batch", "residues", *more), "bool")


def _codes(name: str, *more: int | str, low: int = 0, high: int = 2) -> InputSpec:
    return InputSpec(name, "int64", ("batch", "residues", *more), "ids", low, high)


_PLACES = {name: _bits(name) for name in ("is_in_context_conditioning", "supports_local_latent")}

# By the key in `conditioning`; the chirality of a residue is left out, which is turned by an SVD of as many frames as there are.
_CONDITIONS: Mapping[str, InputSpec] = {
    **_PLACES,
    **{
        f"condition_sequence-probability-{name}_1_residue": points(f"probability_{name}", "batch", "residues", high=1)
        for name in ("ALA", "GLY")
    },
    "condition_coordinate_1_atom": floats("coordinates", "residues", _ATOMS, 3),
    "condition_InternalCoordinate_1_atom": floats("internal_coordinates", "residues", _ATOMS, 3),
    "condition_CoordinateGroup_1_atom": _codes("coordinate_group", _ATOMS, low=-1, high=3),
    "_prepared_coord_group_seq": points("coordinate_group_label", "batch", "residues", _ATOMS, high=4),
    "condition_rasa-binned_1_atom": points("rasa", "batch", "residues", _ATOMS, high=1),
    "condition_secondary-structure_1_residue": _codes("secondary_structure", high=4),
    "condition_hbond_1_atom": _codes("hbond", _ATOMS, high=4),
    "condition_pication_1_atom": _codes("pication", _ATOMS, high=4),
    **{
        f"condition_{name}_1_atom": _codes(name.replace("-", "_"), _ATOMS)
        for name in ("pistack", "saltbridge", "hydrophobic", "metal-coord", "hotspot")
    },
    "condition_ChainCentroid_1_atom": floats("centroid", "residues", 3),
    "condition_cath-label_1_residue": _codes("cath", 3, low=-1, high=5),
    "condition_index-group_1_token": _codes("index_group", high=4),
    "molecule_iid": _codes("molecule_iid", high=3),
    "molecule_entity_id": _codes("molecule_entity_id", high=3),
    "charge": _codes("charge", _ATOMS, low=-4, high=7),
    "element": _codes("element", _ATOMS, high=119),
    "na_ss_state": _codes("na_ss_state"),
    "na_ss_state_mask": _bits("na_ss_state_mask"),
    "bond_order": _codes("bond_order", "residues", high=5),
    "token_bond_path_length": _codes("token_bond_path_length", "residues", high=8),
    **{
        name: _bits(name, "residues")
        for name in ("bond_mask", "is_aromatic", "canonical_polymer_ordering", "na_ss_pair", "na_ss_pair_mask")
    },
}


def _named(conditions: Mapping[str, InputSpec]) -> Mapping[str, Mapping[str, str]]:
    return {"conditioning": {key: spec.name for key, spec in conditions.items()}}


_SEQUENCE = {"condition_sequence_1_residue": ids("sequence", "residues", high=4)}

PROTEINS: Mapping[str, Call] = {
    "RFD4ProteinaTransformer": Call(
        (
            floats("bb_ca", "residues", 3),
            floats("local_latents", "residues", "=latent_dim"),
            level("bb_ca_time"),
            level("local_latents_time"),
            _PADDING,
            ids("token_type", "residues", high=7),
            _bits("atom37_mask", _ATOMS),
            *_CONDITIONS.values(),
        ),
        _SIZES,
        {"recycle_depth": 2},
        gather=_named(_CONDITIONS),
    ),
    # Its forward is the decoder; the encoder draws noise.
    "RFD4ProteinaAutoencoder": Call(
        (
            floats("z_latent", "residues", "=latent_dim"),
            floats("ca_coors_nm", "residues", 3),
            _PADDING,
            ids("token_type", "residues", high=3),
            *_PLACES.values(),
            *_SEQUENCE.values(),
        ),
        _SIZES,
        gather=_named({**_PLACES, **_SEQUENCE}),
    ),
}
