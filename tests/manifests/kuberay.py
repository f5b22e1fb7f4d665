"""What KubeRay's RayCluster and RayJob (ray.io/v1) may hold, as JSON schemas, with no other keys.

Written from the operator's public API (ray-operator/apis/ray/v1: raycluster_types.go, rayjob_types.go; authOptions
since 1.5.1). Pod templates are left to Kubernetes' own schemas.
"""

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
TEMPLATE: Schema = {"type": "object", "required": ["spec"], "properties": {"metadata": {}, "spec": {"type": "object"}}}
METADATA: Schema = {"type": "object", "required": ["name"]}


def closed(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


_HEAD = closed(
    ["template", "rayStartParams"], template=TEMPLATE, rayStartParams=TEXTS, enableIngress=FLAG,
    headService={"type": "object"}, serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
)  # fmt: skip
_WORKERS = closed(
    ["groupName", "template", "rayStartParams", "minReplicas", "maxReplicas"], groupName=TEXT, template=TEMPLATE,
    rayStartParams=TEXTS, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT, numOfHosts=COUNT, suspend=FLAG,
    idleTimeoutSeconds=COUNT, scaleStrategy={"type": "object"},
)  # fmt: skip
_CLUSTER = closed(
    ["headGroupSpec"], headGroupSpec=_HEAD, workerGroupSpecs={"type": "array", "items": _WORKERS}, rayVersion=TEXT,
    authOptions=closed(["mode"], mode={"enum": ["token", "disabled"]}, secretName=TEXT), suspend=FLAG, managedBy=TEXT,
    enableInTreeAutoscaling=FLAG, autoscalerOptions={"type": "object"}, headServiceAnnotations=TEXTS,
    gcsFaultToleranceOptions=closed(
        ["redisAddress"], redisAddress=TEXT, redisUsername={"type": "object"}, redisPassword={"type": "object"},
        externalStorageNamespace=TEXT,
    ),
)  # fmt: skip
_JOB = closed(
    [], entrypoint=TEXT, runtimeEnvYAML=TEXT, jobId=TEXT, metadata=TEXTS, clusterSelector=TEXTS,
    rayClusterSpec=_CLUSTER,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]}, backoffLimit=COUNT,
    submitterConfig=closed([], backoffLimit=COUNT), submitterPodTemplate=TEMPLATE, activeDeadlineSeconds=COUNT,
    ttlSecondsAfterFinished=COUNT, shutdownAfterJobFinishes=FLAG, suspend=FLAG, managedBy=TEXT, deletionPolicy=TEXT,
    entrypointNumCpus={"type": "number"}, entrypointNumGpus={"type": "number"}, entrypointResources=TEXT,
)  # fmt: skip


def _of(kind: str, spec: Schema) -> Schema:
    return closed(
        ["apiVersion", "kind", "metadata", "spec"], apiVersion={"const": "ray.io/v1"}, kind={"const": kind},
        metadata=METADATA, spec=spec,
    )  # fmt: skip


RAY_CLUSTER = _of("RayCluster", _CLUSTER)
RAY_JOB = _of("RayJob", _JOB)
