"""fastmcp's client with a sampling handler as a host. It stands on the official SDK 2.x; a handler
cannot answer with an error's code: what it raises becomes -32603.
"""

import contextlib

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

import common
import types2

LEGACY = ["legacy", "auto"]
MODERN = ["2026-07-28", "auto"]
REFUSED = (502, "host_error")
CONCURRENT = True


class Connection(common.Connection):
    def __init__(self, client):
        self.client = client
        self.version = client.session.protocol_version
        self.session = client.session

    async def call(self, tool, arguments=None, progress=None):
        return types2.result(
            await self.client.call_tool(
                tool, arguments or {}, progress_handler=progress, raise_on_error=False
            )
        )

    async def names(self):
        return [tool.name for tool in await self.client.list_tools()]


def answer_of(model):
    """The sampling handler of this model. A text goes as a text, which the library makes a result of."""

    async def answer(messages, params, context):
        said = await model(common.heard(params))
        return said if isinstance(said, str) else types2.result_of(said)

    return answer


@contextlib.asynccontextmanager
async def start(era, model, stderr, tools=False, args=()):
    # Else the binary would stay when the client is gone.
    transport = StdioTransport(
        common.binary(), list(args), env=common.ENVIRONMENT, keep_alive=False, log_file=stderr
    )
    async with Client(
        transport,
        mode=era,
        client_info=types2.client_info(),
        sampling_handler=answer_of(model) if model else None,
        sampling_capabilities=types2.sampling(tools) if model else None,
    ) as client:
        yield Connection(client)
