"""The field table: every array of a structure, a store or a batch, with its shape, type, unit and meaning.

S structures, A atoms of all structures together, E directed edges of all structures together.
"""

NUMBERS = "numbers"
"""[A] uint8: atomic number of each atom."""
POSITIONS = "positions"
"""[A, 3] float32, Å."""
FORCES = "forces"
"""[A, 3] float32, eV/Å: minus the gradient of the energy."""
N_ATOMS = "n_atoms"
"""[S] int64: atoms of each structure; atoms are in the order of their structures."""
ENERGY = "energy"
"""[S] float64, eV: total energy as labelled."""
RESIDUAL = "residual"
"""[S] float32, eV: energy less the sum of the reference energies (and, where these are isolated atoms', the binding
energies) of the structure's elements; what models learn."""
GROUP = "group"
"""[S] string: the molecule (canonical SMILES) or other unit that is never on both sides of a split."""
CELL = "cell"
"""[S, 3, 3] float32, Å: rows are cell vectors; zeros without a cell."""
PBC = "pbc"
"""[S, 3] bool: periodic along each cell vector."""
CHARGE = "charge"
"""[S] int8: total charge in elementary charges."""
SPIN = "spin"
"""[S] int8: spin multiplicity 2S + 1."""
