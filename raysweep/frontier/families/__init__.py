"""Several families side by side: differences and their order, crossings, parameters that they share."""
