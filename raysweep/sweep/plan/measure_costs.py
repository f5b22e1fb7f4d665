"""`python -m raysweep.sweep.plan.measure_costs` reads a search space as JSON and measures what its sizes cost."""

import sys

from raysweep.core.errors import RaysweepError
from raysweep.sweep.plan.costs import REFUSED
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.space import Space

if __name__ == "__main__":
    space = Space.model_validate_json(sys.stdin.read())
    try:
        make_plan(space, data_facts(space), {}, measure=True)
    except RaysweepError as error:
        print(error)  # for the driver, which raises it
        sys.exit(REFUSED)
