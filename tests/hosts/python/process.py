"""A host that is a process of its own, so that it can be killed:
    process.py LIBRARY ERA [arguments of the binary]
Its model takes a request, which it tells after the address of the binary, and never answers.
"""

import importlib
import sys

import loopback  # noqa: F401 (before what it is to hold back)

import anyio  # noqa: E402

import pull  # noqa: E402


async def main(library, era, *args):
    kind = importlib.import_module(f"host_{library}")
    async with kind.start(era, None, sys.stderr, args=args) as host:
        print(*await host.address(), flush=True)
        puller = pull.Puller(host, pull.echo)
        await puller.turn()
        print(f"taken: {puller.taken[0]['prompt']}", flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
