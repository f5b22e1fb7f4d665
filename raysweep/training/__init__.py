"""Training of one trajectory. Knows neither Ray nor MLflow."""
