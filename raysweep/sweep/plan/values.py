"""The plan as values: the trials of the grid and the totals over them, as JSON and as a table."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.core.hashing import size_json
from raysweep.core.stages import GRID
from raysweep.core.text import amount, columns, knobs
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import Assignment
from raysweep.sweep.plan.specs import assignment
from raysweep.sweep.plan.totals import Totals, family_rows, totals
from raysweep.sweep.space.parts import Size

if TYPE_CHECKING:
    from raysweep.frontier.design.outlook import Outlook


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """One trajectory of the grid stage. Fields are None until they are known."""

    family: str
    architecture: str
    size: Size
    seed: int
    structures: int
    """Structures that the largest data budget sees, or the largest of the grid where there is none."""
    points: int
    """Budgets at which it is evaluated, at most."""
    atoms: tuple[float, ...] = ()
    """Seen at each of these points, ascending; empty while costs are unknown."""
    learning_rate: float | None = None
    """Given, or tuned."""
    spec: TrialSpec | None
    """None until the learning rate, the data and, where trials are chosen by cost, the cost are known."""
    state: TrialState = TrialState.PLANNED
    params: int | None = None
    data: float | None = None
    """Atoms seen at the end."""
    flops: float | None = None
    """All that is spent, on every branch (wsd)."""
    naive_flops: float | None = None
    """What its points would cost with a run for each of them."""
    device_seconds: float | None = None
    disk_bytes: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it is not run again."""
        return self.state.is_final


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The trials of a sweep and their progress."""

    name: str
    storage: str
    trials: tuple[PlannedTrial, ...]
    tuning_trials: int
    """Trials of the learning-rate stage, without widening; ASHA stops most of them early."""
    waits_for_data: bool = False
    """Whether the structure store is still to be made, so that neither atoms nor costs are known."""
    slots: int | None = None
    """Trials that run at once on this cluster, None where that is not known."""
    price_per_device_hour: float | None = None
    outlook: "tuple[Outlook, ...]" = ()
    """What the trajectories would answer, by family; empty where it was not asked for, or costs are unknown."""
    notes: tuple[str, ...] = ()
    """Further notes for the user, a sentence each."""

    @property
    def tuned(self) -> bool:
        """Whether all learning rates are known."""
        return all(trial.learning_rate is not None for trial in self.trials)

    @property
    def identified(self) -> bool:
        """Whether all trial ids are known."""
        return all(trial.spec is not None for trial in self.trials)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain values, for `--json`."""
        rows = []
        for trial in self.trials:
            row = dataclasses.asdict(dataclasses.replace(trial, spec=None))
            del row["spec"]
            rows.append({**row, "trial_id": trial.spec.trial_id if trial.spec else None})
        grid: dict[str, object] = {
            "trajectories": len(self.trials),
            "done": sum(trial.state.is_final for trial in self.trials),
            "points": sum(trial.points for trial in self.trials),
        }
        for name in ("flops", "device_seconds", "disk_bytes"):
            grid[name] = _total([getattr(trial, name) for trial in self.trials])
        return {
            "name": self.name,
            "storage": self.storage,
            "waits_for_data": self.waits_for_data,
            "tuned": self.tuned,
            "tuning_trials": self.tuning_trials,
            "totals": grid,
            "families": [{**dataclasses.asdict(row), "saving": row.saving} for row in self.totals()],
            "design": [one.to_dict() for one in self.outlook],
            "notes": list(self.notes),
            "trials": rows,
        }

    def assignments(self) -> list[Assignment]:
        """Assign trials to the families that they serve, as far as learning rates are known."""
        return [assignment(t.spec, t.family, GRID) for t in self.trials if t.spec is not None]

    def totals(self) -> list[Totals]:
        """Return the totals of each family, and those of the whole grid as the last."""
        families = dict.fromkeys(trial.family for trial in self.trials)
        parts = [(label, [trial for trial in self.trials if trial.family == label]) for label in families]
        parts += [("all", list(self.trials))] if len(parts) > 1 else []
        return [totals(label, trials, self.slots, self.price_per_device_hour) for label, trials in parts]

    def table(self) -> str:
        """Return the plan as text, a line for each family and size."""
        head = ("family", "size", "trials", "done", "points", "N", "D atoms", "C FLOP", "device s", "rate")
        rows = [head]
        for group in _groups(self.trials):
            first = group[0]
            rows.append(
                (
                    first.family,
                    knobs(first.size),
                    str(len(group)),
                    str(sum(t.state.is_final for t in group)),
                    str(sum(t.points for t in group)),
                    amount(first.params),
                    amount(max((t.data for t in group if t.data is not None), default=None)),
                    amount(_total([t.flops for t in group])),
                    amount(_total([t.device_seconds for t in group])),
                    "to be tuned" if first.learning_rate is None else f"{first.learning_rate:g}",
                )
            )
        blocks = [columns(rows), "", columns(family_rows(self.totals())), *self._expected(), self._summary()]
        return "\n".join([*blocks, *self.notes])

    def _expected(self) -> list[str]:
        if not self.outlook:
            return []
        from raysweep.frontier.design.wording import outlook_notes, outlook_rows  # imports numpy

        return ["", columns(outlook_rows(self.outlook)), *outlook_notes(self.outlook)]

    def _summary(self) -> str:
        done = sum(trial.state.is_final for trial in self.trials)
        text = f"{len(self.trials)} trajectories, {done} done, {sum(t.points for t in self.trials)} points"
        seconds = _total([t.device_seconds for t in self.trials if not t.state.is_final])
        if seconds is not None:
            text += f"; {seconds:.0f} device seconds to go"
        saving = self.totals()[-1].saving if self.trials else None
        if saving is not None:
            text += f"; a run for each point would cost {saving:.1f} times the FLOPs"
        if self.tuning_trials and not self.tuned:
            text += f"; before them {self.tuning_trials} learning-rate trials, most stopped early"
        if self.waits_for_data:
            text += "\n?: known once the structure store is made, by `raysweep data make` or by the run itself"
        return text


def _groups(trials: Sequence[PlannedTrial]) -> list[list[PlannedTrial]]:
    groups: dict[tuple[str, str], list[PlannedTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.family, size_json(trial.size)), []).append(trial)
    return list(groups.values())


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known and len(known) == len(values) else None
