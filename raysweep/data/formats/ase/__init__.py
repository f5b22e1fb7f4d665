"""ASE's databases, and the formats that ASE reads."""
