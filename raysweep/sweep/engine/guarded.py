"""A dispatcher within Ray Tune's loop, which would attribute an error of raysweep to the trial."""

from collections.abc import Callable
from typing import TypeVar

from raysweep.sweep.engine.dispatch import Dispatcher, Launch

T = TypeVar("T")


class Guarded:
    """A dispatcher whose first error is kept, to be raised again once Tune's loop has ended."""

    def __init__(self, dispatcher: Dispatcher, config_of: Callable[[Launch], dict[str, object]]) -> None:
        self.dispatcher, self.config_of = dispatcher, config_of
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, object]:
        """Give Tune nothing to pickle: it keeps a copy of itself on disk, which nothing ever reads."""
        return {}

    def do(self, action: Callable[[Dispatcher], T]) -> T | None:
        """Call a function unless there was an error; keep the error that it raises."""
        if self.error is None:
            try:
                return action(self.dispatcher)
            except Exception as error:  # noqa: BLE001 - raised again by `run_stage`
                self.error = error
        return None
