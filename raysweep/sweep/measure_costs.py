"""`python -m raysweep.sweep.measure_costs` reads a search space as JSON and measures what its sizes cost."""

import sys

from raysweep.errors import RaysweepError
from raysweep.sweep.costs import REFUSED
from raysweep.sweep.facts import data_facts
from raysweep.sweep.plan import make_plan
from raysweep.sweep.space import Space

if __name__ == "__main__":
    space = Space.model_validate_json(sys.stdin.read())
    try:
        make_plan(space, data_facts(space), {}, measure=True)
    except RaysweepError as error:
        print(error)  # for the driver, which raises it
        sys.exit(REFUSED)
