"""Fields of a record, whatever the format: keys, units, cells."""
