"""Secrets in addresses are unreadable wherever a text is kept or shown."""

import time

import pytest

from raysweep.core.errors import DataError, RaysweepError
from raysweep.core.masking import masked, masked_values
from raysweep.storage.lease import LeaseLostError

SECRET = "s3cr3t+K/ey"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://joe:{SECRET}@host:5000/mlflow", "http://joe:***@host:5000/mlflow"),
        (f"https://{SECRET.replace('/', '')}@host", "https://***@host"),
        (f"postgresql+psycopg2://joe:p@{SECRET}@db/mlflow", "postgresql+psycopg2://joe:***@db/mlflow"),
        (f"mysql://:{SECRET}@db/x", "mysql://:***@db/x"),
        (
            f"postgresql://db/x?user=joe&password={SECRET}&sslmode=off",
            "postgresql://db/x?user=joe&password=***&sslmode=off",
        ),
        (f"s3://AKIA0:{SECRET}@bucket/sweep?region=eu", "s3://***@bucket/sweep?region=eu"),
        (f"s3://bucket/sweep?access_key=a&secret_key={SECRET}", "s3://bucket/sweep?access_key=***&secret_key=***"),
        (f"https://host/x?X-Amz-Signature={SECRET}&page=2", "https://host/x?X-Amz-Signature=***&page=2"),
        (f"https://host/?a=1;Token={SECRET}#top", "https://host/?a=1;Token=***#top"),
        (f"host=db password={SECRET} dbname=x", "host=db password=*** dbname=x"),
        (f"connect(dsn, password='{SECRET}')", "connect(dsn, password='***')"),
        (f'{{"password": "{SECRET}"}}', '{"password": "***"}'),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"('http://a:{SECRET}@b', \"http://c:{SECRET}@d\")", "('http://a:***@b', \"http://c:***@d\")"),
        (f"HTTP://JOE:{SECRET}@HOST", "HTTP://JOE:***@HOST"),
    ],
)
def test_a_secret_is_masked_and_the_rest_stays(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=MACHINE_LEARNING&orderByKey=metrics.`loss`",
        "postgresql://joe@db/mlflow",
        "sqlite:////data/run@2/mlflow.db",
        "s3://bucket/run@2/sweep?region=eu&endpoint_override=http://localhost:9000",
        "file:///data/a:b@c",
        "grid.seeds=[0,1]: keys=3, monkey=4, tokens=100",
        "the loss is nan after 12 steps",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert masked(text) == text


def test_values_are_masked_at_any_depth() -> None:
    content = {"a": [f"http://joe:{SECRET}@h", 1, None], "b": {"c": (f"?token={SECRET}", 2.5, True)}}
    assert masked_values(content) == {"a": ["http://joe:***@h", 1, None], "b": {"c": ("?token=***", 2.5, True)}}


@pytest.mark.parametrize("kind", [RaysweepError, DataError, lambda text: LeaseLostError(text, "process 1")])
def test_every_error_of_ours_masks_its_message(kind: type[RaysweepError]) -> None:
    error = kind(f"cannot open 's3://AKIA0:{SECRET}@bucket': refused")
    assert SECRET not in str(error) + repr(error)
    assert "s3://***@bucket" in str(error)


@pytest.mark.parametrize("unit", ["a", "a-", "http://", "s3://a:", "a://b:", "?token", "x_", "://", "password="])
def test_masking_takes_time_in_proportion_to_the_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit)) + "://="
        began = time.process_time()
        masked(text)
        return time.process_time() - began

    small = min(seconds(20_000) for _ in range(3))
    assert seconds(200_000) < 40 * small + 0.05  # a quadratic one takes 100 times as long
