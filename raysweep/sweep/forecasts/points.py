"""The points that forecasts are fitted to, and the fits of the loss and of further metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.core.errors import FrontierError
from raysweep.core.points import PLATEAU_SHARE
from raysweep.core.stages import GRID
from raysweep.frontier import Fit, contrasts, fit, fit_families
from raysweep.frontier.points.readers import as_table, canonical
from raysweep.storage.reader import SweepReader

METRICS = ("energy_mae", "force_l2")
"""Columns of a point, besides the loss, that fall with N and D as the loss does, and so have a law of its form."""


@dataclass(frozen=True)
class GridPoints:
    """The points of a sweep's grid stage, with every column that was measured."""

    table: pa.Table

    @classmethod
    def of(cls, reader: SweepReader, without: str | None = None) -> "GridPoints":
        """Read them.

        Args:
            reader: of the storage.
            without: trial id of a run whose points are left out; None: all are taken.

        Raises:
            FrontierError: no trajectory of the grid has ended yet.
        """
        table = reader.table([row for row in reader.assignments() if row.stage == GRID and row.trial_id != without])
        if table.num_rows == 0:
            raise FrontierError(
                f"{reader.location}: no trajectory of the grid has ended yet, so that no law can be fitted; "
                "run the sweep first (`raysweep run SPACE`)"
            )
        return cls(table)

    def fits(self) -> dict[str, Fit]:
        """Fit the loss of each family, as `raysweep frontier` does."""
        return dict(fit_families(canonical(as_table(self.table))))

    def metric_fits(self, family: str) -> dict[str, Fit | str]:
        """Fit further metrics of a family: by name a fit, or the reason why there is none."""
        rows = self.table.filter(pc.equal(self.table["family"], family))
        found: dict[str, Fit | str] = {}
        for name in METRICS:
            given = rows.filter(pc.is_valid(rows[name]))
            if given.num_rows == 0:
                continue  # not measured by this training
            try:
                one = fit(_as_loss(given, name))
            except FrontierError as error:
                found[name] = str(error)
                continue
            found[name] = one if one.status.usable else str(one.status)
        return found

    def params(self, family: str) -> dict[str, float]:
        """Return the parameters of each size of a family that has points, by size as JSON."""
        rows = self.table.select(["family", "size", "params"]).to_pylist()
        return {str(row["size"]): float(row["params"]) for row in rows if row["family"] == family}


def _as_loss(rows: pa.Table, metric: str) -> pa.Table:
    """Put a metric in place of the loss, at the points that have left the starting plateau."""
    off = np.array([_off_plateau(row) for row in rows.select(["loss", "trivial_loss"]).to_pylist()])
    rows = rows.filter(pa.array(off))
    columns = {"params": "params", "data": "data", "flops": "flops", "loss": metric, "trajectory": "trial_id"}
    table = pa.table({name: rows[column] for name, column in columns.items()} | {"step": rows["step"]})
    return canonical(as_table(table))


def _off_plateau(row: Mapping[str, float | None]) -> bool:
    loss, trivial = row["loss"], row["trivial_loss"]
    return loss is not None and (trivial is None or loss <= PLATEAU_SHARE * trivial)


def best_family(fits: Mapping[str, Fit], flops: float) -> str:
    """Return the family whose frontier is the lowest at a compute.

    Raises:
        FrontierError: no family has a law with an optimum.
    """
    losses, refused = {}, []
    for family, one in fits.items():
        try:
            losses[family] = one.optimal(flops).loss.value
        except FrontierError as error:
            refused.append(str(error))
    if not losses:
        raise FrontierError(f"no family has a law to forecast by: {'; '.join(refused)}")
    return min(losses, key=lambda family: losses[family])


def probability_best(fits: Mapping[str, Fit], family: str, flops: float) -> float | None:
    """Return the probability that a family's frontier is the lowest at a compute; None where there is no other."""
    usable = {name: one for name, one in fits.items() if one.status.usable}
    if len(usable) < 2:
        return None
    try:
        return contrasts(usable, "loss", flops).best.get(family)
    except FrontierError:  # of families that count different costs, or have no common quantity
        return None
