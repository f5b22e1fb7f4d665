"""MLflow, the face of the trial store. The only place that imports it."""
