"""Why a candidate or a structure is left out, as the manifest counts it."""

NOT_GROWN = "molecule: growth ended unsound"
DUPLICATE = "molecule: duplicate"
NOT_EMBEDDED = "molecule: no conformer embedded"
NO_PARAMETERS = "molecule: no MMFF94 parameters"
NOT_CONVERGED = "structure: SCF not converged"
FORCE_ABOVE_LIMIT = "structure: force above limit"
