"""The private parts of Ray hold what is read of them (their names: tests/test_private_apis.py)."""


def test_rays_private_parts_hold_what_we_read_once_ray_runs(one_ray: None) -> None:
    from raysweep.sweep.cluster.ray import internals, services

    for kind in (services.HEAD, services.RAYLET):
        assert internals.service_processes(kind), f"ray._private.worker._global_node.all_processes has no {kind}"
    session, logs = internals.session_folder(), internals.logs_folder()
    assert session is not None
    assert session.is_dir()
    assert logs is not None
    assert (logs / f"{services.RAYLET}.out").exists()
    client = internals.head_client()
    assert client is not None
    (node,) = client.get_all_node_info(timeout=10).values()
    assert node.state == internals.ALIVE
    assert node.resources_total["CPU"] == 2.0
    assert client.internal_kv_get(b"no such key", None, timeout=10) is None
    (free,) = internals.free_resources()
    assert free["CPU"] == 2.0
