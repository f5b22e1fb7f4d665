"""Ray on this machine: its folders, variables and services, and the private parts of its API."""
