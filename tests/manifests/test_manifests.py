"""The files of cluster/: valid by published schemas, secure by default, and at the project's own versions."""

import importlib.resources
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kuberay import RAY_CLUSTER, RAY_JOB

import raysweep

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
KUBERNETES = "1.32"
LAUNCHERS = ("aws.yaml", "gcp.yaml")
SCRIPTS = sorted(CLUSTER.glob("*.sh"))
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


def documents(name: str) -> list[dict[str, object]]:
    return [document for document in yaml.safe_load_all((CLUSTER / name).read_text()) if document]


def manifests() -> list[tuple[str, dict[str, object]]]:
    files = ("kuberay-cluster.yaml", "kuberay-job.yaml", "mlflow-kubernetes.yaml")
    return [(f"{name}:{document['kind']}", document) for name in files for document in documents(name)]


def pod_templates(document: dict[str, object]) -> Iterator[dict[str, object]]:
    """Yield every pod template in a manifest, wherever it is."""
    for key, value in document.items():
        if key == "template" and isinstance(value, dict) and "spec" in value:
            yield value
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from pod_templates(part)


@pytest.mark.parametrize(("name", "document"), manifests(), ids=[name for name, _ in manifests()])
def test_manifests_are_valid_by_the_published_schemas(name: str, document: dict[str, object]) -> None:
    if str(document["apiVersion"]).startswith("ray.io/"):
        jsonschema.validate(document, RAY_CLUSTER if document["kind"] == "RayCluster" else RAY_JOB)
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    for template in pod_templates(document):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"} | template.get("metadata", {}), **{}}
        kubernetes_validate.validate({**pod, "spec": template["spec"]}, KUBERNETES, strict=True)


def test_a_misspelt_key_is_not_valid() -> None:
    """Hold that the schemas above see anything at all."""
    (cluster, claim, policy) = documents("kuberay-cluster.yaml")
    cluster["spec"]["workerGroupSpec"] = cluster["spec"].pop("workerGroupSpecs")  # type: ignore[attr-defined, index]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, RAY_CLUSTER)
    claim["spec"]["accessMode"] = ["ReadWriteMany"]  # type: ignore[index]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(claim, KUBERNETES, strict=True)
    policy["spec"]["ingress"][0]["form"] = []  # type: ignore[index]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(policy, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml", "mlflow-kubernetes.yaml"])
def test_pods_are_confined_and_labels_meet(name: str) -> None:
    labels = {
        json.dumps(template["metadata"]["labels"], sort_keys=True)  # type: ignore[index]
        for document in documents(name)
        for template in pod_templates(document)
    }
    for document in documents(name):
        for template in pod_templates(document):
            spec = template["spec"]
            assert isinstance(spec, dict)
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["automountServiceAccountToken"] is False
            mounted = {mount["name"] for c in spec["containers"] for mount in c.get("volumeMounts", [])}
            offered = {volume["name"] for volume in spec.get("volumes", [])}
            offered |= {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}  # type: ignore[attr-defined]
            assert mounted <= offered
            for container in spec["containers"]:
                assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
                assert "limits" in container["resources"]
        if document["kind"] == "Service":
            assert json.dumps(document["spec"]["selector"], sort_keys=True) in labels  # type: ignore[index]
            assert document["spec"].get("type", "ClusterIP") == "ClusterIP"  # type: ignore[attr-defined]
        if document["kind"] == "NetworkPolicy":
            assert json.dumps(document["spec"]["podSelector"]["matchLabels"], sort_keys=True) in labels  # type: ignore[index]


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml"])
def test_ray_on_kubernetes_asks_for_a_token_and_keeps_room_for_objects(name: str) -> None:
    spec = documents(name)[0]["spec"]
    assert isinstance(spec, dict)
    cluster = spec.get("rayClusterSpec", spec)
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        assert volumes["memory"]["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize("name", LAUNCHERS)
def test_launcher_files_are_valid_for_ray_up_and_open_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((CLUSTER / name).read_text())
    validate_config(prepare_config(config))  # as `ray up` does, before it asks the cloud for anything
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**config, "max_worker": 4}))
    for source in config["file_mounts"].values():
        assert source.startswith("~/.ray/") or (ROOT / source).exists(), f"{source} is not here"
    starts = " ".join(config["head_start_ray_commands"] + config["worker_start_ray_commands"])
    assert starts.count("RAY_AUTH_MODE=token") == 2
    assert "--dashboard-host=127.0.0.1" in starts
    assert config["available_node_types"]["gpu"]["min_workers"] >= 1
    for command in config["setup_commands"] + config["head_setup_commands"] + starts.split("\n"):
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_compose_file_is_valid_by_the_specification_and_open_to_this_machine_alone() -> None:
    vendored = importlib.resources.files("check_jsonschema.builtin_schemas").joinpath("vendor", "compose-spec.json")
    schema = json.loads(vendored.read_text())
    (compose,) = documents("mlflow-compose.yaml")
    jsonschema.validate(compose, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**compose, "service": {}}, schema)
    services = compose["services"]
    assert isinstance(services, dict)
    assert services["mlflow"]["ports"] == ["127.0.0.1:5000:5000"]
    assert "ports" not in services["database"]
    ignored = subprocess.run(["git", "check-ignore", "-q", "cluster/mlflow-password"], cwd=ROOT)
    assert ignored.returncode in (0, 128)  # 128: a copy of the project that is no repository


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_scripts_are_sound_by_shellcheck(script: Path) -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    assert shellcheck.exists() or shutil.which("shellcheck")
    subprocess.run(["bash", "-n", str(script)], check=True)
    done = subprocess.run([str(shellcheck), str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script.read_text()
    no_arguments = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    assert no_arguments.returncode == 2
    assert no_arguments.stderr.startswith("usage: ")


def test_versions_are_the_projects_own() -> None:
    python = re.search(r"^python_version = \"(.+)\"", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert python is not None
    seen = set()
    for path in CLUSTER.iterdir():
        text = path.read_text()
        for found in re.findall(r"raysweep:(\d+(?:\.\d+)*)", text):
            assert found == raysweep.__version__, path
            seen.add("raysweep")
        for found in re.findall(r"rayVersion: (\S+)", text):
            assert found == PINS["ray"], path
            seen.add("ray")
        for found in re.findall(r"MLflow (\d+\.\d+\.\d+)", text):
            assert found == PINS["mlflow"], path
            seen.add("mlflow")
        for found in re.findall(r"(?:--python |python:)(\d+\.\d+)", text):
            assert found == python[1], path
            seen.add("python")
        for line in re.findall(r"pip install .*", text):
            assert "-c " in line, f"{path}: an install without the project's pins: {line}"
    assert seen == {"raysweep", "ray", "mlflow", "python"}


def test_no_file_holds_a_secret() -> None:
    for path in CLUSTER.iterdir():
        assert not re.search(r"[0-9a-f]{32}|(password|token): ['\"]?\w{6}", path.read_text()), path
