"""Search spaces: typed YAML, resolved before anything is planned."""
