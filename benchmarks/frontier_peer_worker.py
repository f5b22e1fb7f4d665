"""Runs inside a peer's own environment: fits tables given on standard input, prints laws and times as JSON.

Input: {"peer": name, "tables": [{"params", "data", "flops", "loss"}, ...], "draws": how many bootstraps}.
Output: [{"law": {E, A, alpha, B, beta}, "interval_a": [low, high] or null, "seconds": CPU}, ...].
"""

import json
import resource
import sys
import tempfile


def cpu():
    """Return CPU seconds of this process and its children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def chinchilla(table, draws):
    """Fit with PyPI `chinchilla`, given the objective of 2203.15556 and 32 starts; it has no intervals."""
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    def objective(measured, predicted):
        return log_huber(measured, predicted, delta=1e-3)

    grid = {"E": [0.3, 0.8], "A": [4.0, 8.0], "B": [4.0, 8.0], "alpha": [0.2, 0.6], "beta": [0.2, 0.6]}
    with tempfile.TemporaryDirectory() as folder:
        model = Chinchilla(folder, param_grid=grid, loss_fn=objective, log_level=50)
        for n, d, c, loss in zip(*(table[name] for name in ("params", "data", "flops", "loss")), strict=True):
            model.database.append(N=n, D=d, C=c, loss=loss)
        model.fit()
        found = {name: float(value) for name, value in model.params.items()}
    return found, None


def simple_scaling_laws(table, draws):
    """Fit with PyPI `simple-scaling-laws` as its default is: least squares of the loss, wild bootstrap."""
    import numpy as np
    import polars as pl
    import simple_scaling_laws as peer

    columns = {"model_size__n": table["params"], "dataset_size__d": table["data"], "test_loss__ce": table["loss"]}
    frame = pl.DataFrame({"training_run_id": [f"r{k}" for k in range(len(table["loss"]))], **columns})
    model = peer.fit(frame, n_draws=draws)
    one = model.fits[model.primary_target].params
    values = list(one.values()) if isinstance(one, dict) else np.ravel(one)
    known = dict(zip(("E", "A", "B", "alpha", "beta"), values, strict=True))
    # Its A and B are per geometric mean of N and of D.
    n, d = (np.exp(np.mean(np.log(table[name]))) for name in ("params", "data"))
    law = {**known, "A": known["A"] * n ** known["alpha"], "B": known["B"] * d ** known["beta"]}
    params = np.asarray(model.draws[model.primary_target].params)
    a = params[:, 4] / (params[:, 3] + params[:, 4])
    return {name: float(value) for name, value in law.items()}, [float(v) for v in np.quantile(a, [0.025, 0.975])]


def main():
    """Fit every table; a table that the peer fails on gives null."""
    task = json.load(sys.stdin)
    run = {"chinchilla": chinchilla, "simple-scaling-laws": simple_scaling_laws}[task["peer"]]
    answers = []
    sys.stdout, out = sys.stderr, sys.stdout
    for table in task["tables"]:
        began = cpu()
        try:
            law, interval = run(table, task["draws"])
        except Exception as error:  # noqa: BLE001 -- whatever a peer raises is its result
            answers.append({"error": f"{type(error).__name__}: {error}", "seconds": cpu() - began})
            continue
        answers.append({"law": law, "interval_a": interval, "seconds": cpu() - began})
    json.dump(answers, out)


if __name__ == "__main__":
    main()
