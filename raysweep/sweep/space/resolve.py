"""Which space runs? `resolve` completes a search space from its storage and its structure store.

In this order, and nowhere else:

1. the storage is checked to be this sweep's (`identity`);
2. the structures are looked up (`facts`); a run makes the store where there is none yet;
3. ladders of parameters become widths (`ladder`);
4. data budgets in atoms become budgets in structures (`facts`), and those along the way of an automatic design.

`check_networks` then asks the models whether every size is a network, which takes torch: `plan` does so at once, a run
only where there is something left to train, `status` never.
"""

from collections.abc import Callable
from dataclasses import dataclass

from raysweep.core.errors import RaysweepError
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.space.automatic import with_data_budgets
from raysweep.sweep.space.facts import DataFacts, data_facts, in_structures
from raysweep.sweep.space.identity import refuse_other_sweep
from raysweep.sweep.space.ladder import with_sizes
from raysweep.sweep.space.networks import check_mup, check_sizes
from raysweep.sweep.space.space import Space


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A search space that can be planned, and the known facts about its structures."""

    space: Space
    """With widths in place of ladders, and data budgets in structures."""
    facts: DataFacts | None
    """None while the structure store is still to be made: trials have no ids and no costs yet."""

    @property
    def unknown(self) -> str | None:
        """What is still unknown, in a sentence; None if everything is known."""
        data = self.space.data
        if self.facts is not None or data is None or data.make is None:
            return None
        recipe = f"{data.make.structures} structures of preset {data.make.preset}, seed {data.make.seed}"
        return f"data to be made: {recipe}, {data.store}"

    def check_networks(self) -> None:
        """Check that every size is a network, and that muP carries the learning rate to it; imports torch.

        Raises:
            SpaceError: names the key that is wrong.
        """
        check_sizes(self.space)
        check_mup(self.space, self.facts)


def resolve(space: Space, store: TrialStore, *, make_data: Callable[[Space], None] | None = None) -> Resolved:
    """Complete a search space from its storage and its structure store.

    Args:
        space: the search space as it was read.
        store: its storage; solved widths and notes are kept there.
        make_data: makes the structure store where it is absent; None: what depends on it stays unknown.

    Raises:
        SpaceError: the storage is another sweep's, or the space asks for more than its structures provide.
    """
    refuse_other_sweep(space, store)  # before minutes of making data, not after
    facts = data_facts(space)
    if facts is None and make_data is not None:
        make_data(space)
        facts = data_facts(space)
        if facts is None:
            raise RaysweepError(f"the structure store {space.data.store if space.data else None} was not made")
        refuse_other_sweep(space, store, facts.fingerprint)
    solved = with_sizes(space, store)
    grid = with_data_budgets(in_structures(solved.grid, facts, solved.error))
    return Resolved(space=solved.model_copy(update={"grid": grid}), facts=facts)
