"""A Ray that the drivers of a test process join one after another: starting one takes longer than a toy sweep.

python shared_ray.py: starts it, prints its address, and ends it once the process that started this one has ended.
"""

import os
import sys
import time

import ray

if __name__ == "__main__":
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    ray.shutdown()
