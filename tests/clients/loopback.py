"""Keeps what is tested on this machine: no keys, addresses or proxies of the caller's are found, and
no connection beyond loopback is made. To be imported before any library that is under test.
"""

import contextlib
import ipaddress
import os
import sys

os.environ |= {"DO_NOT_TRACK": "1", "NO_PROXY": "*"}

# What clients read from the caller's environment: keys, addresses and proxies.
FOREIGN = ("OPENAI_", "AZURE_", "ANTHROPIC_", "LITELLM_API", "LANGSMITH_API", "LANGCHAIN_API")
for name in list(os.environ):
    if name.startswith(FOREIGN) or name.lower().endswith("_proxy") and name != "NO_PROXY":
        del os.environ[name]

# Every address outside this machine that was asked for.
abroad = []


def stay_here(event, arguments):
    """Refuses what would leave this machine. Clients may swallow that, so it is noted, too."""
    if event == "socket.getaddrinfo":
        name = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        name = arguments[1][0]
    else:
        return
    name = name.decode() if isinstance(name, bytes) else name
    if name in (None, "", "localhost"):
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(name).is_loopback:
            return
    abroad.append(name)
    raise OSError(f"{name} is not on this machine")


sys.addaudithook(stay_here)
