"""The compute-optimal frontier from points: fits, intervals, queries. Needs numpy, scipy and pyarrow alone."""
