"""The command that a submitted job is, by the options of `raysweep submit`."""

from collections.abc import Mapping, Sequence

from raysweep.core.errors import RaysweepError

_RACE = ("budget", "delta", "error", "inference-steps")
NEW = "new"
"""Given to `--prove` in place of an id: a forecast that the job records first."""


def job_of(race: Mapping[str, object], *, adaptive: bool, choose: bool, prove: str | None) -> tuple[str, list[str]]:
    """Return the command of the job and its options.

    Args:
        race: the options of a race by their names, None for those that were not given.
        adaptive: `--adaptive`.
        choose: `--choose`.
        prove: an id, "all" or "new"; None: no forecast is proved.

    Raises:
        RaysweepError: options contradict each other, or one needs another.
    """
    asked = [name for name, given in (("--adaptive", adaptive), ("--choose", choose), ("--prove", prove)) if given]
    if len(asked) > 1:
        raise RaysweepError(f"{' and '.join(asked)}: a job is one of them; submit the others when it has ended")
    given = {name: value for name, value in race.items() if value is not None}
    if not choose and (alone := [name for name in _RACE if name in given]):
        raise RaysweepError(f"--{alone[0]} is an option of a race: add --choose")
    if choose:
        return "choose", [word for name, value in given.items() for word in (f"--{name}", f"{value}")]
    if prove == NEW and "at" not in given:
        raise RaysweepError("--prove new: give the compute of the forecast to make as well (--at FLOPS)")
    if prove is not None and prove != NEW:
        if "at" in given:
            raise RaysweepError(f"--at: the forecast {prove} has its compute; leave it out, or use --prove new")
        return "forecast", [prove, "--prove"]
    if prove == NEW:
        return "forecast", ["--at", f"{given['at']}", "--prove"]
    if "at" in given:
        raise RaysweepError("--at is the compute of a race (--choose) or of a forecast (--prove new): add one of them")
    return "run", ["--adaptive"] if adaptive else []


def options_of(job: str, options: Sequence[str]) -> list[str]:
    """Return the options of `raysweep submit` that give a job of this command with these options."""
    if job == "choose":
        return ["--choose", *options]
    if job == "forecast":
        kept = [word for word in options if word != "--prove"]
        return ["--prove", *([NEW] if kept[0] == "--at" else []), *kept]
    return list(options)
