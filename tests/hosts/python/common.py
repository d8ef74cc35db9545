"""What the hosts of this folder have in common: what a model is told and may say, without the types
of any one library, and how the binary is started.

Each library has a module `host_NAME` with:
  LEGACY      how a connection can be opened that is of the legacy era
  MODERN      and of the modern one; empty where the library does not know it
  REFUSED     the status and code of an HTTP answer when the model raised Refused(-1, …)
  CONCURRENT  whether it answers several sampling requests at once, drops what nobody waits for, and
              tells when it gives a call up
  start(era, model, stderr, tools, args)  an async context manager that gives a Connection

A model is a coroutine function that gets a Heard and returns a text or a ToolUse, or raises Refused.
"""

import os
from dataclasses import dataclass, field

# The longest that a test waits for what should come at once, in seconds.
PATIENCE = 20

# How the host calls itself.
CLIENT_NAME = "matrix-host"


def binary() -> str:
    """The binary under test; `tests/hosts/run` names it."""
    return os.environ["MODELTAP_BIN"]


# The libraries pass on HOME, PATH and the like of the caller's environment, no more.
ENVIRONMENT = {"MODELTAP_PORT": "0", "MODELTAP_TOKENS": "none"}


@dataclass
class Heard:
    """A sampling request."""

    text: str  # of the last message; of a tool's result, too
    kinds: list[str]  # the types of all blocks of all messages
    tools: list[str]  # the names of the tools on offer
    max_tokens: int


@dataclass
class ToolUse:
    """A model's call of a tool."""

    name: str
    input: dict


class Refused(Exception):
    """The host's answer is this JSON-RPC error."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Result:
    """A tool's result."""

    text: str  # of all blocks
    first: str  # of the first one
    data: dict | None = field(repr=False)
    is_error: bool
    images: int = 0


class Connection:
    """A host with the binary as its server. The modules give `call`, `names` and `version`."""

    version: str  # the protocol's
    way: str = "sampling"  # the way to its model

    async def call(self, tool, arguments=None, progress=None) -> Result:
        raise NotImplementedError

    async def names(self) -> list[str]:
        """The names of all tools."""
        raise NotImplementedError

    async def status(self) -> dict:
        return (await self.call("runtime_status")).data

    async def address(self) -> tuple[str, int]:
        """Where the binary listens."""
        told = (await self.call("http_server_status")).data
        return told["host"], told["port"]


def heard(params) -> Heard:
    """Reads sampling parameters, whose objects are alike in all libraries but for their names' case."""
    messages = [
        message.content if isinstance(message.content, list) else [message.content]
        for message in params.messages
    ]
    # A tool's result holds blocks itself.
    last = [part for block in messages[-1] for part in getattr(block, "content", [block])]
    max_tokens = getattr(params, "max_tokens", None) or params.maxTokens
    return Heard(
        text="".join(part.text for part in last if part.type == "text"),
        kinds=[block.type for blocks in messages for block in blocks],
        tools=[tool.name for tool in params.tools or []],
        max_tokens=max_tokens,
    )


async def echo(heard):
    """The simplest model: it says what it was told."""
    return f"echo: {heard.text}"
