"""Masking of passwords, keys and tokens in addresses before a text is kept or shown.

Servers receive addresses as they were given; all text for people, written, printed or sent, goes through `masked`, and
plain values of JSON through `masked_values`.
"""

import re
from typing import TypeVar

T = TypeVar("T")
MASK = "***"

_SECRET = (
    r"(?:[\w.-]{0,40}[-_.])?(?:pass(?:word|wd|phrase)?|pwd|pw|token|secret|credentials?|signature|sig|auth|key)"
    r"|[\w.-]{0,40}(?:password|passwd|passphrase|token|secret|apikey|accesskey|secretkey|accountkey|signature|credential)"
)
"""Names of parameters that hold a secret: `token`, `access_token`, `X-Amz-Signature`, `sslpassword`, `api_key`."""
_END = r"\s\"'<>`"
"""Characters at which an address ends in a text."""
_HIDDEN = re.escape(MASK)

# All repetitions are bounded, so that a text of megabytes takes time in proportion to its length.
_KEYS = re.compile(
    rf"\b((?:s3[an]?|gcs?|gs|r2|abfss?|az|wasbs?|oss)://)[^{_END}/:@]{{1,300}}(?::[^{_END}@]{{0,600}})?@", re.IGNORECASE
)
"""An object store's address with its keys: `s3://KEY:SECRET@bucket`; a secret may hold slashes."""
_PASSWORD = re.compile(
    rf"([a-z][a-z0-9+.-]{{0,40}}://[^{_END}/:@?#]{{0,300}}:)(?!{_HIDDEN}@)[^{_END}]{{0,2000}}@", re.IGNORECASE
)
"""`scheme://user:password@`, up to the last @: people write passwords that hold an @ or a slash as they are."""
_LONE = re.compile(rf"\b(https?://)[^{_END}/:@?#]{{1,2000}}@", re.IGNORECASE)
"""`https://token@host`."""
_PARAMETER = re.compile(rf"([?&;](?:{_SECRET})=)[^&;{_END}#]+", re.IGNORECASE)
_PLAIN = re.compile(
    rf"(\b(?:password|passwd|pwd)(?:=[\"']?|[\"']\s{{0,4}}:\s{{0,4}}[\"']))(?!{_HIDDEN})[^&;{_END},)]+", re.IGNORECASE
)
"""As libpq writes it, `host=db password=...`, and JSON."""
_HEADER = re.compile(
    rf"(authorization[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?(?:basic|bearer)\s{{1,4}})[^{_END}]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """Replace the secrets in the addresses of a text by `***`.

    Masks passwords of `scheme://user:password@host`, tokens in a user's place, keys of object stores, parameters such
    as `?password=` or `&access_token=`, and authorization headers.

    >>> masked("MLflow at https://joe:pw@host/mlflow?token=abc&page=2: refused")
    'MLflow at https://joe:***@host/mlflow?token=***&page=2: refused'
    """
    if "://" in text:
        text = _KEYS.sub(rf"\1{MASK}@", text)
        text = _PASSWORD.sub(rf"\1{MASK}@", text)
        text = _LONE.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{MASK}", text)
    return _HEADER.sub(rf"\1{MASK}", _PLAIN.sub(rf"\1{MASK}", text))


def masked_values(content: T) -> T:
    """Mask every text in plain values (mappings, lists, texts, numbers)."""
    if isinstance(content, str):
        return masked(content)  # type: ignore[return-value]
    if isinstance(content, dict):
        return {key: masked_values(value) for key, value in content.items()}  # type: ignore[return-value]
    if isinstance(content, list | tuple):
        return type(content)(masked_values(value) for value in content)
    return content
