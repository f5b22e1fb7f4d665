"""Cells and periodicity, from the shapes found in files to three vectors and three flags a structure.

What is periodic never silently becomes isolated: a cell without flags is periodic along its vectors, and flags
without a cell are a fault of the record.
"""

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]


def cell_rows(values: npt.NDArray[np.generic], frames: int) -> _Floats:
    """Cell vectors [frames, 3, 3], in rows, from matrices, 9 numbers, 3 lengths or 3 lengths and 3 angles.

    Args:
        values: for each frame, or one for all.
        frames: how many there are.

    Raises:
        ValueError: the shape is another, or may mean two things.
    """
    given = np.asarray(values, dtype=np.float64)
    shape = given.shape
    if shape == (3, 3) and frames == 3 and (given > 0).all():
        raise ValueError("a cell of shape [3, 3] may be one matrix, or three lengths for each of 3 frames")
    if shape[-2:] == (3, 3):
        rows = given.reshape(-1, 9)
    elif given.ndim in (1, 2) and shape[-1] in (3, 6, 9):
        rows = given.reshape(-1, shape[-1])
    else:
        raise ValueError(f"a cell of shape {list(shape)} is neither 3 x 3, 9, 3 lengths, nor 3 lengths and 3 angles")
    if len(rows) not in (1, frames):
        raise ValueError(f"{len(rows)} cells, but {frames} energies")
    return np.broadcast_to(vectors(rows), (frames, 3, 3)).copy()


def vectors(rows: _Floats) -> _Floats:
    """Cell vectors [n, 3, 3] from [n, 9], [n, 3] lengths or [n, 6] lengths and angles in degrees.

    Vectors from lengths and angles are oriented as by ASE's `cellpar_to_cell`: the first along x, the second in the
    xy plane. What is not a cell becomes NaN.
    """
    if rows.shape[1] == 9:
        return rows.reshape(-1, 3, 3)
    found: _Floats = np.zeros((len(rows), 3, 3))
    if rows.shape[1] == 3:
        found[:, (0, 1, 2), (0, 1, 2)] = rows
        return found
    none = (rows[:, :3] == 0).all(axis=1)
    (a, b, c), angles = rows[:, :3].T, rows[:, 3:]
    strange = (angles <= 3.2).any(axis=1) | (angles >= 180).any(axis=1)  # radians, or not angles
    right = np.where(angles == 90, 0.0, np.cos(np.radians(angles)))
    alpha, beta, gamma = right.T
    sine = np.sin(np.radians(angles[:, 2]))
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = beta, (alpha - beta * gamma) / sine
        z = np.sqrt(1 - x * x - y * y)
        found[:, 0, 0] = a
        found[:, 1, 0], found[:, 1, 1] = b * gamma, b * sine
        found[:, 2] = np.stack([c * x, c * y, c * z], axis=1)
    found[strange] = np.nan
    found[none] = 0
    return found


def pbc_rows(values: npt.NDArray[np.generic], frames: int) -> npt.NDArray[np.bool_]:
    """Flags [frames, 3] from one, three, or those of each frame.

    Raises:
        ValueError: they are not flags, or of another shape.
    """
    flags = as_flags(values)
    if flags.shape == (3,) and frames == 3 and flags.any() != flags.all():
        raise ValueError("three flags of pbc may be of the three vectors, or of the 3 frames")
    if flags.shape in ((), (1,), (1, 1), (3,), (1, 3), (frames, 3), (frames, 1)):
        return np.broadcast_to(flags, (frames, 3)).copy()
    if flags.shape == (frames,):
        return np.repeat(flags[:, None], 3, axis=1)
    raise ValueError(f"pbc of shape {list(flags.shape)} is neither one flag nor three, for all or each frame")


def as_flags(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Booleans, or numbers that are 1 or 0, as booleans.

    Raises:
        ValueError: a value is neither.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        raise ValueError("pbc has values other than true and false, or 1 and 0")
    return given.astype(bool)


def periodicity(
    cell: _Floats | None, pbc: npt.NDArray[np.bool_] | None, frames: int
) -> tuple[_Floats | None, npt.NDArray[np.bool_] | None]:
    """Cells [frames, 3, 3] and flags [frames, 3], or neither if nothing is periodic and there is no cell.

    A cell without flags is periodic along those of its vectors that are not zero. Flags without a cell get one that is
    zero, so that the record is found to be faulty.
    """
    if cell is None and (pbc is None or not pbc.any()):
        return None, None
    if cell is None:
        cell = np.zeros((frames, 3, 3))
    return cell, (cell != 0).any(axis=2) if pbc is None else pbc
