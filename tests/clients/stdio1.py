"""The stdio transport of the official SDK 1.x, less a fault of its own: a line that the server writes
while the client leaves makes the client fail, since nobody reads it any more. 2.x passes over it.
"""

import contextlib

import anyio
from mcp import stdio_client


@contextlib.asynccontextmanager
async def stdio(parameters, stderr):
    """`stdio_client`; what comes too late is passed over."""
    leaving = False
    try:
        async with stdio_client(parameters, errlog=stderr) as streams:
            yield streams
            leaving = True
    except Exception as failure:
        if not (leaving and _nobody_reads(failure)):
            raise


def _nobody_reads(failure):
    """Whether it is that fault and nothing else; task groups wrap it."""
    inner = getattr(failure, "exceptions", None)
    if inner is None:
        return isinstance(failure, anyio.BrokenResourceError)
    return all(map(_nobody_reads, inner))
