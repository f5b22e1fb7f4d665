"""`export`: trained models of a sweep as files."""

from typing import Annotated

import typer

from raysweep.cli.commands.options import Json

app = typer.Typer()


@app.command()
def export(
    source: Annotated[str, typer.Argument(metavar="SPACE|STORAGE", help="search space (YAML), or a sweep's storage")],
    trial: Annotated[str, typer.Argument(metavar="TRIAL|best", help="id, or its first digits; best: lowest loss")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="model file to write, such as model.rsm")],
    family: Annotated[str | None, typer.Option(metavar="NAME", help="the best of this family")] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="AMOUNT", help="budget of the point; default: the last, or the best")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="STORE", help="structure store; default: the sweep's own")] = None,
    json: Json = False,
) -> None:
    """Write a trained model to a file.

    It holds weights, architecture, units, elements and provenance. `raysweep.load` reads it and makes an ASE
    calculator.
    """
    from raysweep.cli.answers.exports import export_trial

    export_trial(source, trial, file, family=family, budget=budget, data=data, as_json=json)
