"""The manifest of a store: `manifest.json`, read on opening, with its own digest and that of every shard."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyarrow import fs
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from raysweep.core.errors import DataError
from raysweep.core.hashing import content_id
from raysweep.core.io.files import read_whole
from raysweep.data.keys import CELL, CHARGE, ENERGY, FORCES, POSITIONS, RESIDUAL, SPIN

SCHEMA_VERSION = 1
"""Raised whenever an older reader could misread a store."""
MANIFEST_NAME = "manifest.json"
UNITS = {POSITIONS: "Å", FORCES: "eV/Å", ENERGY: "eV", RESIDUAL: "eV", CELL: "Å", CHARGE: "e", SPIN: "2S+1"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shard(_Frozen):
    """One Arrow IPC file of a store."""

    name: str = Field(description="file name within the store's folder")
    sha256: str = Field(description="of the whole file, 64 hexadecimal digits")
    bytes: int = Field(description="size of the file")
    structures: int = Field(gt=0, description="structures in this shard")


class Manifest(_Frozen):
    """A store's contents. Statistics are taken over the training part alone."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="version of this layout")
    fingerprint: str = Field(description="SHA-256 of all structures and the split, not of files or times")
    units: dict[str, str] = Field(default_factory=lambda: dict(UNITS), description="unit of each field that has one")
    elements: tuple[int, ...] = Field(description="atomic numbers that occur, ascending")
    structures: int = Field(gt=0, description="training and validation together")
    atoms: int = Field(gt=0, description="training and validation together")
    train_structures: int = Field(gt=0, description="rows 0 to train_structures - 1, in the one seeded order")
    validation_structures: int = Field(ge=0, description="the remaining rows, in a seeded order of their own")
    train_atoms: int = Field(gt=0, description="atoms of the training part")
    validation_atoms: int = Field(ge=0, description="atoms of the validation part")
    train_groups: int = Field(gt=0, description="groups (molecules) of the training part")
    validation_groups: int = Field(ge=0, description="groups (molecules) of the validation part")
    reference_energies: dict[int, float] = Field(
        description="eV by atomic number: an isolated atom's, otherwise least squares on the training part"
    )
    isolated_atoms: tuple[int, ...] = Field(
        default=(), description="elements whose reference energy is that of an isolated atom among the files"
    )
    binding_energies: dict[int, float] = Field(
        default_factory=dict,
        description="eV by atomic number, where reference energies are isolated atoms': least squares of the rest",
    )
    rms_force: float = Field(gt=0, description="eV/Å, root mean square over force components")
    rms_energy: float = Field(ge=0, description="eV/atom, root mean square of residual per atom")
    rejected: dict[str, int] = Field(default_factory=dict, description="candidates left out, counted by reason")
    source: str = Field(description="where the structures come from")
    licence: str = Field(description="terms under which they may be used")
    recipe: dict[str, JsonValue] = Field(default_factory=dict, description="all that determined the content")
    made_with: dict[str, str] = Field(default_factory=dict, description="versions of the software that made it")
    shards: tuple[Shard, ...] = Field(min_length=1, description="files that hold the structures, in row order")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of structures and all that determined them, for the manifest.

    Attributes:
        source, licence, recipe, made_with, rejected: as in the manifest.
        reference_energies: eV by atomic number, of isolated atoms; those of other elements are fitted.
    """

    source: str
    licence: str
    recipe: Mapping[str, JsonValue] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    reference_energies: Mapping[int, float] = field(default_factory=dict)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Serialise the manifest as JSON text that carries its own SHA-256."""
    content = manifest.model_dump(mode="json")
    return json.dumps({"sha256": content_id(content), "manifest": content}, indent=1, ensure_ascii=False).encode()


def read_manifest(filesystem: fs.FileSystem, path: str) -> Manifest:
    """Read the manifest of the store in the folder `path`.

    Raises:
        DataError: there is none, it is torn or altered, or it was written by a newer raysweep.
    """
    file = f"{path}/{MANIFEST_NAME}"
    raw = read_whole(filesystem, file)
    if raw is None:
        raise DataError(
            f"no structure store at {path!r}: {MANIFEST_NAME} is missing. Make one with `raysweep data make`"
        )
    try:
        document = json.loads(raw)
        content, stated = document["manifest"], document["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: torn or no manifest ({error!r}). Remove the store's folder and make it again"
        ) from error
    if content_id(content) != stated:
        raise DataError(f"{file}: altered, its content does not match its sha256. Remove the folder and make it again")
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{file}: schema_version is {version}, this raysweep reads {SCHEMA_VERSION}. "
            "Make the store again, or use the raysweep that wrote it"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{file}: not a manifest of this version: {error}") from error
