"""`ray` as a program that can be forked, so that the workers of the Ray that it starts are forked, too.

python ray_start.py start --head ...
"""

from ray.scripts.scripts import main

if __name__ == "__main__":
    main()
