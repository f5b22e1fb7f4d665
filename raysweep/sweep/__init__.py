"""From a search space to finished trials. The only place that imports Ray."""
