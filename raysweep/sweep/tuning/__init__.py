"""The search for learning rates, as pure functions of losses (`search`), and the checks of muP."""
