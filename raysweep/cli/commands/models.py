"""`export` and `evaluate`: trained models of a sweep as files, and their errors."""

from typing import Annotated, Literal

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
    register: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="also register it in the sweep's MLflow, as a new version of NAME"),
    ] = None,
    json: Json = False,
) -> None:
    """Write a trained model to a file, and its model card to FILE.md.

    It holds weights, architecture, units, elements and provenance. `raysweep.load` reads it and makes an ASE
    calculator. The card says in Markdown what the model was trained on, how wrong it is and what it is not for.
    """
    from raysweep.cli.answers.exports import export_trial

    export_trial(source, trial, file, family=family, budget=budget, data=data, register=register, as_json=json)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="model file")],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="labelled structures: files, or folders of files")
    ],
    format: Annotated[
        Literal["aselmdb", "extxyz", "md17", "spice", "ani1x", "mptrj", "parquet", "ase", "hdf5", "asedb"] | None,
        typer.Option(help="default: recognized by the content of each file"),
    ] = None,
    energy_key: Annotated[str | None, typer.Option(metavar="KEY", help="default: the format's own")] = None,
    forces_key: Annotated[str | None, typer.Option(metavar="KEY", help="default: the format's own")] = None,
    source_key: Annotated[str, typer.Option(metavar="KEY", help="key of the part of the data set")] = "data_id",
    energy_unit: Annotated[str | None, typer.Option(metavar="UNIT", help="default: the file's or format's own")] = None,
    length_unit: Annotated[str | None, typer.Option(metavar="UNIT", help="default: the file's or format's own")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out and count unusable structures and unknown elements")
    ] = False,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="also draw parity.png and errors_by_size.png there")
    ] = None,
    json: Json = False,
) -> None:
    """Evaluate a trained model on files of labelled structures.

    MAE and RMSE of energies (meV/atom) and force components (meV/Å): of all structures, by element and by source.
    """
    from raysweep.cli.answers.exports import evaluate_model
    from raysweep.data.formats.fields.blocks import Names

    names = Names(
        energy=energy_key, forces=forces_key, source=source_key, energy_unit=energy_unit, length_unit=length_unit
    )
    evaluate_model(model, files, format, names, skip_bad=skip_bad, out=out, as_json=json)
