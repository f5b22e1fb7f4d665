"""Which proxy of the environment takes a request, and that none takes what is meant for this machine."""

import os

import pytest

from raysweep.core.io.proxies import proxy_of, spare_loopback

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        for spelt in (name, name.upper()):
            monkeypatch.setenv(spelt, "")  # so that it is put back
            monkeypatch.delenv(spelt)


@pytest.mark.parametrize(
    ("given", "url", "proxy"),
    [
        ({}, "http://mlflow:5000", None),
        ({"HTTP_PROXY": "http://ada:secret@proxy:3128"}, "http://mlflow:5000", "HTTP_PROXY=http://proxy:3128"),
        ({"http_proxy": "proxy:3128"}, "http://mlflow:5000", "HTTP_PROXY=http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://mlflow", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://mlflow", "HTTPS_PROXY=http://proxy:3128"),
        ({"ALL_PROXY": "socks5://proxy:1080"}, "http://mlflow", "ALL_PROXY=socks5://proxy:1080"),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "mlflow"}, "http://mlflow:5000", None),
        ({"HTTP_PROXY": "http://proxy", "no_proxy": "*"}, "http://mlflow:5000", None),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": ".internal"}, "http://mlflow.internal:5000", None),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3:5000", None),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "other"}, "http://mlflow:5000", "HTTP_PROXY=http://proxy"),
    ],
)
def test_the_proxy_of_a_url_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


@pytest.mark.parametrize("given", ["", "example.org", "example.org,localhost"])
def test_this_machine_is_reached_past_a_proxy_and_others_are_not(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    spare_loopback()
    assert "NO_PROXY" not in os.environ  # nothing to spare it from
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    if given:
        monkeypatch.setenv("NO_PROXY", given)
    assert proxy_of("http://127.0.0.1:5000") is not None
    for _ in range(2):
        spare_loopback()
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
        assert sorted(os.environ["NO_PROXY"].split(",")) == sorted(
            {*given.split(","), "127.0.0.1", "::1", "localhost"} - {""}
        )
    assert proxy_of("http://127.0.0.1:5000") is None
    assert proxy_of("http://localhost:8265") is None
    assert (proxy_of("http://example.org") is None) == ("example.org" in given)
    assert proxy_of("http://head:8265") == "HTTP_PROXY=http://proxy:3128"


def test_a_dashboard_behind_a_proxy_that_is_not_there_is_told_with_the_way_past_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from raysweep.jobs.client import Unreachable, connect

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"through HTTP_PROXY=http://127.0.0.1:9: .* export NO_PROXY=head.internal"):
        connect("http://head.internal:8265")
