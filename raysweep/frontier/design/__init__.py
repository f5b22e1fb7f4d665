"""The design of sweeps: what planned runs would reveal, and which runs to make next."""
