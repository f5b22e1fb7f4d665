"""The command that a submitted job is, and how it is found again."""

import pytest

from raysweep.core.errors import RaysweepError
from raysweep.jobs.commands import job_of, options_of
from raysweep.jobs.request import command_of, shell_command

NOTHING: dict[str, object] = dict.fromkeys(("at", "budget", "delta", "error", "inference-steps"))


def job(*, adaptive: bool = False, choose: bool = False, prove: str | None = None, **race: object) -> object:
    given = {name.replace("_", "-"): value for name, value in race.items()}
    return job_of({**NOTHING, **given}, adaptive=adaptive, choose=choose, prove=prove)


def test_the_options_of_submit_make_the_command_line_of_the_job() -> None:
    assert job() == ("run", [])
    assert job(adaptive=True) == ("run", ["--adaptive"])
    raced = ["--at", "1000000000000000.0", "--budget", "10m", "--inference-steps", "1000000.0"]
    assert job(choose=True, at=1e15, budget="10m", inference_steps=1e6) == ("choose", raced)
    assert job(prove="all") == ("forecast", ["all", "--prove"])
    assert job(prove="new", at=1e15) == ("forecast", ["--at", "1000000000000000.0", "--prove"])
    assert options_of("choose", raced) == ["--choose", *raced]
    assert options_of("forecast", ["all", "--prove"]) == ["--prove", "all"]
    assert options_of("forecast", ["--at", "1e15", "--prove"]) == ["--prove", "new", "--at", "1e15"]
    assert options_of("run", ["--adaptive"]) == ["--adaptive"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"adaptive": True, "choose": True}, "--adaptive and --choose: a job is one of them"),
        ({"delta": 0.01}, "--delta is an option of a race: add --choose"),
        ({"at": 1e15}, "--at is the compute of a race"),
        ({"prove": "new"}, "--prove new: give the compute"),
        ({"prove": "ab12", "at": 1e15}, "--at: the forecast ab12 has its compute"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(RaysweepError, match=said):
        job(**options)  # type: ignore[arg-type]


def test_a_job_is_known_by_its_command() -> None:
    assert command_of(shell_command("choose", "a space.yaml", "--at", "1e15")) == "choose"
    assert command_of("python train.py run") is None
