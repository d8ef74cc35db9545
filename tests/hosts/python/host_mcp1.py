"""The official Python SDK 1.x as a host. It knows the legacy era only, answers one sampling request
after the other, and reads no cancellation meanwhile.
"""

import contextlib

from mcp import ClientSession, StdioServerParameters, types
from stdio1 import stdio

import common

LEGACY = ["legacy"]
MODERN = []
REFUSED = (403, "host_denied")
CONCURRENT = False


class Connection(common.Connection):
    def __init__(self, session, version):
        self.session = session
        self.version = version

    async def call(self, tool, arguments=None, progress=None):
        result = await self.session.call_tool(tool, arguments or {}, progress_callback=progress)
        return common.Result(
            text="".join(block.text for block in result.content if block.type == "text"),
            first=result.content[0].text,
            data=result.structuredContent,
            is_error=result.isError,
            images=sum(block.type == "image" for block in result.content),
        )

    async def names(self):
        return [tool.name for tool in (await self.session.list_tools()).tools]


def answer_of(model):
    """The sampling callback of this model."""

    async def answer(context, params):
        try:
            said = await model(common.heard(params))
        except common.Refused as refused:
            return types.ErrorData(code=refused.code, message=refused.message)
        if isinstance(said, common.ToolUse):
            content = types.ToolUseContent(
                type="tool_use", id="use_1", name=said.name, input=said.input
            )
            return types.CreateMessageResultWithTools(
                role="assistant", content=content, model="scripted-model", stopReason="toolUse"
            )
        return types.CreateMessageResult(
            role="assistant",
            content=types.TextContent(type="text", text=said),
            model="scripted-model",
            stopReason="endTurn",
        )

    return answer


@contextlib.asynccontextmanager
async def start(era, model, stderr, tools=False, args=()):
    server = StdioServerParameters(
        command=common.binary(), args=list(args), env=common.ENVIRONMENT
    )
    sampling = types.SamplingCapability(tools=types.SamplingToolsCapability() if tools else None)
    async with (
        stdio(server, stderr) as (read, write),
        ClientSession(
            read,
            write,
            client_info=types.Implementation(name=common.CLIENT_NAME, version="1"),
            sampling_callback=answer_of(model) if model else None,
            sampling_capabilities=sampling if model else None,
        ) as session,
    ):
        shaken = await session.initialize()
        yield Connection(session, shaken.protocolVersion)
