"""The cost of a trajectory, measured once per architecture and size and kept with the sweep."""

import os
import sys
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

from raysweep.core.hashing import content_id
from raysweep.core.trial import TrialSpec
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.guests.code import code_of
from raysweep.sweep.guests.entrypoint import entrypoint_cost
from raysweep.sweep.guests.values import checked_cost
from raysweep.sweep.space.data import Data
from raysweep.sweep.space.running import Resources

if TYPE_CHECKING:
    from raysweep.data.store.store import Store

USABLE = 0.95
"""Share of a GPU's memory that its driver leaves free."""
HEADROOM = 1.3
"""Factor on the memory of a training step: optimizer, evaluation, and batches larger than those measured."""
MOST_PACKED = 16
"""Largest number of trials on one GPU: more would wait for each other."""


@dataclass(frozen=True)
class Cost:
    """Per atom seen in training, forward and backward."""

    params: int
    flops_per_atom: float
    seconds_per_atom: float
    peak_memory: int | None = None
    """Bytes that one trial holds of a GPU; None: not measured, this machine has none."""
    device_memory: int | None = None
    """Bytes that the GPU has."""

    @property
    def gpu_share(self) -> float:
        """Share 1/n of a GPU that a trial needs by its memory; a whole one where that was not measured."""
        if not self.peak_memory or not self.device_memory:
            return 1.0
        fit = int(self.device_memory * USABLE / (self.peak_memory * HEADROOM))
        return 1 / min(max(fit, 1), MOST_PACKED)


class _Measured(Protocol):
    @property
    def params(self) -> int: ...
    @property
    def flops_per_atom(self) -> float: ...
    @property
    def seconds_per_atom(self) -> float: ...


class CostBook:
    """Costs by architecture and size; unknown ones are measured on request."""

    def __init__(self, resources: Resources, data: Data | None, store: TrialStore, *, measure: bool) -> None:
        """Read the costs that are kept with a sweep.

        Args:
            resources: of a trial, to measure with.
            data: where the structures are that are measured on.
            store: the sweep's storage.
            measure: whether unknown costs are measured (seconds each).
        """
        self._resources, self._data, self._store, self._measure = resources, data, store, measure
        content = store.read_json(layout.COSTS)
        self._codes: dict[tuple[str | None, str], str | None] = {}
        self._known: dict[str, Cost | None] = {}
        self._new = False
        for key, value in content.items() if isinstance(content, dict) else ():
            try:
                self._known[key] = Cost(**asdict(checked_cost(SimpleNamespace(**value))))
            except (TypeError, ValueError) as error:
                store.notes.append(f"{layout.COSTS}: {key} is unusable ({error}) and is measured again")

    def cost(self, spec: TrialSpec) -> Cost | None:
        """Return the cost of a trajectory's size, None if it is unknown and cannot be measured."""
        key = self._key(spec) + ("-gpu" if self._resources.gpu else "")
        if key not in self._known and self._measure:
            self._known[key] = self._measured(spec)
            self._new = self._known[key] is not None or self._new
        return self._known.get(key)

    def save(self) -> None:
        """Write `costs.json`, if there is something new to keep; a disk that is read-only gets a note."""
        if self._new:
            known = {k: asdict(v) for k, v in self._known.items() if v is not None}
            self._store.keep_json(layout.COSTS, known, "the measured costs")
            self._new = False

    def _key(self, spec: TrialSpec) -> str:
        """Hash the fields that a cost depends on: not rate, seed or budgets."""
        who = spec.entrypoint, spec.architecture
        if who not in self._codes:
            self._codes[who] = code_of(spec)
        code = self._codes[who]
        fields = ("architecture", "size", "forces", "fingerprint", "batch_atoms", "precision", "symmetry", "entrypoint")
        values = spec.model_dump(mode="json", include={*fields, "accumulate"})
        return content_id(values if code is None else {**values, "code": code}, 16, spaced=True)

    def _measured(self, spec: TrialSpec) -> Cost | None:
        store = None
        if self._data is not None:
            from raysweep.data.store.store import open_store

            store = open_store(self._data.store)
        set_threads(int(self._resources.cpu))
        gpu = bool(self._resources.gpu)
        first = _measure(spec, store, gpu)
        if first is None:
            return None
        second = _measure(spec, store, gpu) or first  # again, since other processes can only lengthen a measurement
        seconds = min(float(first.seconds_per_atom), float(second.seconds_per_atom))
        memory = (getattr(second, name, None) for name in ("peak_memory", "device_memory"))
        return Cost(int(first.params), float(first.flops_per_atom), seconds, *memory)


def _measure(spec: TrialSpec, store: "Store | None", gpu: bool) -> _Measured | None:
    if spec.entrypoint is None:
        from raysweep.training import loop  # imports torch

        assert store is not None
        return loop.measure(spec, store, gpu=gpu)
    return entrypoint_cost(spec, store)


def set_threads(count: int) -> None:
    """Limit numerical libraries to the trial's cores, so that packed trials do not oversubscribe the machine."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(max(1, count))
    torch = sys.modules.get("torch")
    if torch is not None:  # it reads the environment once, when it is loaded
        torch.set_num_threads(max(1, count))
