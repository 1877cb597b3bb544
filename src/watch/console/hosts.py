"""Which hosts are this machine alone. Pure."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, for this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
