"""`check-transfer` and `schema`."""

from typing import Annotated

import typer

from raysweep.cli.commands.options import Json

app = typer.Typer()


@app.command("check-transfer")
def check_transfer(
    architecture: Annotated[str, typer.Argument(metavar="ARCH", help="mpnn, egnn, gemnet, tensor, ...")],
    store: Annotated[str, typer.Argument(metavar="STORE", help="structure store to train on")],
    knobs: Annotated[
        list[str] | None, typer.Argument(metavar="[KNOB=VALUE]...", help="fixed knobs, such as depth=2 l_max=2")
    ] = None,
    widths: Annotated[
        str, typer.Option(metavar="LIST", help="widths to train at; the first is the base, for which rates are given")
    ] = "16,32,64,128",
    coordinate_widths: Annotated[
        str, typer.Option(metavar="LIST", help="widths to follow activations at")
    ] = "16,32,64,128,256",
    rates: Annotated[str, typer.Option(metavar="LIST", help="learning rates")] = "0.0025,0.005,0.01,0.02,0.04,0.08",
    structures: Annotated[int, typer.Option(min=1, max=10**9, help="structures per training")] = 2000,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="trainings per width and rate")] = 1,
    coordinate_seeds: Annotated[int, typer.Option(min=1, max=1000, help="networks to follow per width")] = 16,
    direct: Annotated[bool, typer.Option("--direct", help="direct forces; default: conservative")] = False,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="folder for the figure")] = ".",
    json: Json = False,
) -> None:
    """Check that a learning rate tuned at a small width holds at large ones.

    Trains each width at each rate and follows the activations over the first steps (the coordinate check of muP).
    Exit status 1 if the best rate moves, or activations drift, by more than a factor of 2.
    """
    from raysweep.cli.transfer import numbers, show_transfer, wholes

    status = show_transfer(
        architecture, store, knobs=knobs or [], widths=wholes("--widths", widths),
        coordinate_widths=wholes("--coordinate-widths", coordinate_widths),
        rates=numbers("--rates", rates), structures=structures, seeds=seeds, coordinate_seeds=coordinate_seeds,
        conservative=not direct, out=out, as_json=json,
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def schema() -> None:
    """Print the JSON schema of a search space."""
    from raysweep.cli.plans import show_schema

    show_schema()
