"""The official Python SDK 2.x as a host. `auto` asks for the modern era first and takes the legacy
one when that is declined; a version as era is taken without asking.
"""

import contextlib

import mcp_types as types
from mcp import Client, StdioServerParameters, stdio_client

import common
import types2

LEGACY = ["legacy", "auto"]
MODERN = ["2026-07-28", "auto"]
REFUSED = (403, "host_denied")
CONCURRENT = True


class Connection(common.Connection):
    def __init__(self, client):
        self.client = client
        self.version = client.protocol_version
        self.session = client.session

    async def call(self, tool, arguments=None, progress=None):
        return types2.result(
            await self.client.call_tool(tool, arguments or {}, progress_callback=progress)
        )

    async def names(self):
        return [tool.name for tool in (await self.client.list_tools()).tools]


def answer_of(model):
    """The sampling callback of this model."""

    async def answer(context, params):
        try:
            return types2.result_of(await model(common.heard(params)))
        except common.Refused as refused:
            return types.ErrorData(code=refused.code, message=refused.message)

    return answer


@contextlib.asynccontextmanager
async def start(era, model, stderr, tools=False, args=()):
    server = StdioServerParameters(
        command=common.binary(), args=list(args), env=common.ENVIRONMENT
    )
    async with Client(
        stdio_client(server, errlog=stderr),
        mode=era,
        client_info=types2.client_info(),
        sampling_callback=answer_of(model) if model else None,
        sampling_capabilities=types2.sampling(tools) if model else None,
    ) as client:
        yield Connection(client)
