"""Samples from columns."""

import numpy as np
import pyarrow as pa

from raysweep.frontier.points.cleaning import clean


def samples_for(points, cost="flops"):
    table = pa.table(points)
    return clean(table, np.arange(table.num_rows), cost).samples
