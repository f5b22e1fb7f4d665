"""Proxies of the environment (HTTP_PROXY etc.): the one for a URL, and none for this machine itself."""

import ipaddress
import os
from urllib.parse import urlsplit
from urllib.request import getproxies

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EXCEPT = ("no_proxy", "NO_PROXY")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, such as the near end of a tunnel."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_of(url: str) -> str | None:
    """Return the environment's proxy for requests to a URL as `variable=proxy`, or None."""
    from requests.utils import get_environ_proxies, select_proxy  # as MLflow's and Ray's clients choose it

    proxies = get_environ_proxies(url)
    found = select_proxy(url, proxies)
    if not found:
        return None
    scheme = urlsplit(url).scheme
    name = scheme if proxies.get(scheme) == found else "all"
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    return f"{name.upper()}_PROXY={proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"


def spare_loopback() -> None:
    """Exempt requests to this machine from proxies, which would send them to another machine."""
    if not getproxies():
        return
    given = next((os.environ[name] for name in _EXCEPT if os.environ.get(name)), "")
    if given.strip() != "*":
        missing = [host for host in LOOPBACK if host not in given.split(",")]
        for name in _EXCEPT:
            os.environ[name] = ",".join([*([given] if given else []), *missing])
