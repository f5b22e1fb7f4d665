"""Search spaces: typed YAML, and what is derived from it before anything is planned."""
