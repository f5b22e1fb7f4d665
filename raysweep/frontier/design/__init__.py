"""The design of sweeps: what planned runs would tell, and which runs to make next."""
