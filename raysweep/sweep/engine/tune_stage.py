"""Runs a stage's trials in Ray Tune."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ray import tune
from ray.tune.experiment import Trial

from raysweep.core.io.files import absolute
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.cluster.capacity import whole_node
from raysweep.sweep.cluster.ray.internals import count_no_callbacks
from raysweep.sweep.cluster.watch import ClusterWatch
from raysweep.sweep.engine.caps import CapReachedError, Spending
from raysweep.sweep.engine.dispatch import Dispatcher, Launch
from raysweep.sweep.engine.guarded import Guarded
from raysweep.sweep.engine.trainable import run_trial
from raysweep.sweep.engine.tune_adapters import Feed, Scheduler, Watcher
from raysweep.sweep.plan.costs import CostBook
from raysweep.sweep.reuse.changed_code import codes
from raysweep.sweep.space.running import Resources
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.stage import Stage


def run_stage(
    stage: Stage,
    space: Space,
    store: TrialStore,
    scratch: Path,
    say: Callable[[str], object] = lambda _: None,
    watch: ClusterWatch | None = None,
) -> None:
    """Run all trials of a stage; returns when each of them has ended.

    Args:
        stage: the source of trials.
        space: resources and caps, and where data and trials are.
        store: where trials are written.
        scratch: a local folder for the files that Tune insists on, deleted afterwards.
        say: called with a line for each trial that lost its worker and is retried.
        watch: of the cluster; None: nobody checks whether it, or a host of it, is lost.

    Raises:
        CapReachedError: the sweep has spent what its search space allows.
        KeyboardInterrupt: it was stopped, or its cluster is lost.
    """
    spending = Spending(space.caps, store)
    reached = spending.reached()
    if reached is not None:
        raise CapReachedError(reached)
    dispatcher = Dispatcher(stage, store, space.resources, spending, say, watch.host_lost if watch else None)
    guarded = Guarded(dispatcher, _configs(space, store, dispatcher))
    scheduler = Scheduler(guarded)

    def check() -> None:
        if store.lease is not None:
            store.lease.check_heartbeat()
        if watch is not None:
            watch.check()

    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{stage.name}-", ignore_cleanup_errors=True) as folder:
        tuner = _tuner(stage.name, folder, _placement(space.resources), guarded, scheduler, Watcher(guarded, check))
        try:
            tuner.fit()
        except KeyboardInterrupt:
            if watch is None or not watch.lost:  # otherwise nobody can kill them
                scheduler.kill_workers()
            dispatcher.cancel()
            raise
        except Exception as error:
            if guarded.error is None:
                raise  # Tune's own error; otherwise a consequence of what ended the sweep
            raise guarded.error from error
    if guarded.error is not None:
        raise guarded.error
    if dispatcher.cap is not None:
        raise CapReachedError(dispatcher.cap)


def _tuner(
    name: str,
    folder: str,
    placement: Callable[[dict[str, object]], tune.PlacementGroupFactory],
    guarded: Guarded,
    scheduler: Scheduler,
    watcher: Watcher,
) -> tune.Tuner:
    count_no_callbacks()
    return tune.Tuner(
        tune.with_resources(run_trial, placement),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=Feed(guarded),
            scheduler=scheduler,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=folder,
            failure_config=tune.FailureConfig(max_failures=0),  # `policy` knows which failures count
            callbacks=[watcher],
            verbose=0,
        ),
    )


def _configs(space: Space, store: TrialStore, dispatcher: Dispatcher) -> Callable[[Launch], dict[str, object]]:
    """Return the function that builds the configuration of `run_trial`."""
    present = codes(
        space.entrypoint, space.architectures, store
    )  # as it is now: a worker that finds other code says so
    costs = CostBook(space.resources, space.data, store, measure=False)
    path = os.pathsep.join(map(os.path.abspath, sys.path)) if space.entrypoint else ""
    data = absolute(space.data.store) if space.data else None

    def config_of(launch: Launch) -> dict[str, object]:
        spec = launch.spec
        gpu = space.resources.gpu
        if gpu == "auto":
            cost = costs.cost(spec)
            gpu = cost.gpu_share if cost else 1.0
        return {
            "trial_id": spec.trial_id,
            "name": f"{spec.trial_id}-{launch.number}",
            "spec": spec.model_dump_json(),
            "code": present.now(spec),
            "storage": store.location,
            "data": data,
            "path": path,
            "cpu": space.resources.cpu,
            "gpu": gpu,
            "inference": float(space.resources.inference),
            "keep_weights": space.keep_weights,
            "timeout": dispatcher.limits.timeout,
            "stall": dispatcher.limits.stall,
            "alone": launch.alone,
        }

    return config_of


def _placement(resources: Resources) -> Callable[[dict[str, object]], tune.PlacementGroupFactory]:
    """Return the function that gives the resources to request from Ray for a trial."""
    whole = whole_node(resources)

    def placement(config: dict[str, object]) -> tune.PlacementGroupFactory:
        bundle = whole if config["alone"] else {"CPU": resources.cpu, "GPU": float(str(config["gpu"]))}
        return tune.PlacementGroupFactory([{name: count for name, count in bundle.items() if count}])

    return placement


def _name(trial: Trial) -> str:
    return str(trial.config["name"])
