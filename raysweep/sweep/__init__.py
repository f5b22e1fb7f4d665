"""From a search space to finished trials. Only this room, `jobs` and `doctor` import Ray."""
