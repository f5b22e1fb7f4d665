"""Force fields, one architecture per file, behind one interface."""
