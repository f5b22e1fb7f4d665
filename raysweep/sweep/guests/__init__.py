"""Other people's training code: loaded, protected from, and checked."""
