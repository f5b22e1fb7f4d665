"""A Ray that the drivers of a test process join one after another: starting one takes longer than a toy sweep.

python shared_ray.py: starts it, prints its address, and ends it once the process that started this one has ended.
"""

import os
import sys
import time

import ray

ATTEMPTS = 3
"""How often it is tried: on a busy machine Ray's agents miss the 15 s that Ray gives them."""


def start() -> None:
    """Start the Ray of this process."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
        except Exception:  # Ray raises even a plain one
            ray.shutdown()
            if attempt == ATTEMPTS:
                raise
        else:
            return


if __name__ == "__main__":
    start()
    sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    ray.shutdown()
