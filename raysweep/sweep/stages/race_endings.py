"""How the trajectories of a race ended by now, family by family, and which families they leave nothing to judge by."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.stages.chooser import by_family

GIVE_UP = 3
"""Trajectories of a family without a usable fit that did not come to their ends, half of all or more, after which it
gets no further ones: it would get them before all others, in every round."""


@dataclass(frozen=True)
class Endings:
    """The states of each family's trajectories; None for a family without a learning rate."""

    states: Mapping[str, list[TrialState] | None]

    @classmethod
    def of(cls, whole: Plan, store: TrialStore, taken: Collection[str]) -> "Endings":
        """Read the states of the trajectories chosen so far.

        Args:
            whole: the plan of every trajectory at each of its lengths.
            store: of the sweep.
            taken: trial ids of the rounds so far.
        """
        found: dict[str, list[TrialState] | None] = {}
        for label, trials in by_family(whole).items():
            ids = [trial.spec.trial_id for trial in trials if trial.spec is not None and trial.spec.trial_id in taken]
            known = any(trial.spec is not None for trial in trials)
            found[label] = [store.record(trial_id).state for trial_id in ids] if known else None
        return cls(found)

    def hopeless(self) -> dict[str, str]:
        """Return why families cannot take part: no learning rate, or none of their trajectories came to its end."""
        found = {}
        for label, states in self.states.items():
            if states is None:
                found[label] = "no learning rate was found"
            elif states and TrialState.DONE not in states:
                found[label] = f"none of its trajectories came to its end: {_counts(states)}"
        return found

    def beyond_hope(self, unfit: Mapping[str, str], *, last: bool) -> dict[str, str]:
        """Return why families without a usable fit cannot be judged, since many of their trajectories failed.

        Args:
            unfit: the families that have no usable fit by now, and why.
            last: whether no further trajectory will be chosen.
        """
        found = {}
        for label, reason in unfit.items():
            states = self.states.get(label) or []
            failed = [state for state in states if state != TrialState.DONE]
            if failed and (last or (len(failed) >= GIVE_UP and 2 * len(failed) >= len(states))):
                found[label] = f"{_counts(failed)} of {len(states)} trajectories, and the others give no law: {reason}"
        return found


def _counts(states: Sequence[TrialState]) -> str:
    return ", ".join(f"{states.count(state)} {state.replace('_', ' ')}" for state in dict.fromkeys(sorted(states)))
