"""MCP hosts for the bridge, made of the official `mcp` client: it starts the built binary, shakes
hands, and a scripted model answers. A host lives in a thread of its own with its own event loop, so
that the HTTP client of a test may block, or run a loop itself, as its users do.
"""

import asyncio
import contextlib
import os
import queue
import threading
from pathlib import Path

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp import types
from mcp.shared.message import SessionMessage
from mcp.shared.session import RequestResponder

from stdio1 import stdio

# The longest that a test waits for what should come at once.
PATIENCE = 20


def binary() -> str:
    """The binary under test: MODELTAP_BIN, or what cargo built last."""
    if given := os.environ.get("MODELTAP_BIN"):
        return given
    crate = Path(__file__).resolve().parents[2]
    target = crate / os.environ.get("CARGO_TARGET_DIR", "target")
    for profile in ("release", "debug"):
        for name in ("modeltap", "modeltap.exe"):
            if (target / profile / name).is_file():
                return str(target / profile / name)
    raise FileNotFoundError(f"no modeltap in {target}: run cargo build --release, or set MODELTAP_BIN")


def text_of(message) -> str:
    """The text of a message, whose content is one block or several."""
    blocks = message.content if isinstance(message.content, list) else [message.content]
    return "".join(block.text for block in blocks if block.type == "text")


async def echo(params):
    """The simplest model: it says what it was told."""
    return f"echo: {text_of(params.messages[-1])}"


def reply(said):
    """What a model said as the client library wants it; a bare string becomes a good answer."""
    if not isinstance(said, str):
        return said
    content = types.TextContent(type="text", text=said)
    return types.CreateMessageResult(
        role="assistant", content=content, model="scripted-model", stopReason="endTurn"
    )


class Host:
    """A host that offers sampling and uses the client as its documentation shows: a session with a
    sampling callback. The library answers one request after the other.
    """

    client_info = types.Implementation(name="python-host", version="1")

    def __init__(self, stderr, model=echo, env=None, args=(), tools=False):
        self.model = model
        # What it declares of its sampling; without tools these are asked for in words.
        self.sampling = types.SamplingCapability(
            tools=types.SamplingToolsCapability() if tools else None
        )
        self.asked = queue.Queue()  # the parameters of every sampling request
        self.cancelled = queue.Queue()  # the ids of those that the bridge took back
        self._params = StdioServerParameters(
            # The library passes on HOME, PATH and the like of the caller's environment, no more.
            command=binary(),
            args=list(args),
            env={
                "MODELTAP_PORT": "0",
                "MODELTAP_TOKENS": "none",
                "MODELTAP_CONSENT_HOLD": "0",
                **(env or {}),
            },
        )
        self._stderr = stderr
        self._ready = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="host", daemon=True)

    # What runs in the host's own thread.

    def _run(self):
        try:
            asyncio.run(self._live())
        except BaseException as failure:  # told to whoever waits
            self._failure = failure
        finally:
            self._ready.set()

    async def _live(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with (
            stdio(self._params, self._stderr) as (read, write),
            self._session(read, write) as self.session,
        ):
            self.initialized = await self.session.initialize()
            self._ready.set()
            await self._stop.wait()

    def _session(self, read, write):
        return ClientSession(
            read,
            write,
            client_info=self.client_info,
            sampling_callback=self._sample,
            sampling_capabilities=self.sampling,
        )

    async def _sample(self, context, params):
        self.asked.put(params)
        try:
            return reply(await self.model(params))
        except AssertionError as surprise:  # told to the client, so that its test shows it
            return types.ErrorData(code=types.INTERNAL_ERROR, message=f"the model: {surprise}")

    # What tests use.

    def __enter__(self):
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise TimeoutError("the bridge did not shake hands")
        if self._failure:
            raise self._failure
        return self

    def __exit__(self, *_):
        self.leave()

    def leave(self):
        """Closes the bridge's input, as a host does that ends, and waits for the bridge's own end."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has left already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the host does not end"
        if self._failure:
            raise self._failure

    def begin(self, coroutine):
        """Runs something in the host's loop; a future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, tool, **arguments):
        """Calls a tool; its result."""
        return self.begin(self.session.call_tool(tool, arguments)).result(PATIENCE)

    @property
    def root(self):
        """Where Anthropic clients are to look."""
        return self.call("http_server_status").structuredContent["listen_url"]

    @property
    def url(self):
        """Where OpenAI clients are to look."""
        return self.root + "/v1"

    def waiting(self):
        """How many requests wait for this host, as the bridge counts them."""
        return self.call("runtime_status").structuredContent["openai_api"]["in_flight"]


class _Concurrent(ClientSession):
    async def _received_request(self, responder):
        # What is not answered here goes to the message handler, outside the reading loop's turn.
        if not isinstance(responder.request.root, types.CreateMessageRequest):
            await super()._received_request(responder)


class ConcurrentHost(Host):
    """A host that answers each sampling request in a task of its own, as VS Code does, and drops the
    work when the bridge says that nobody waits for it any more.
    """

    def _session(self, read, write):
        self._tasks = set()
        return _Concurrent(
            read,
            write,
            client_info=self.client_info,
            sampling_callback=self._sample,  # makes the session declare the capability
            sampling_capabilities=self.sampling,
            message_handler=self._message,
        )

    async def _message(self, message):
        if isinstance(message, RequestResponder):
            started = asyncio.Event()
            task = asyncio.create_task(self._answer(message, started))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await started.wait()  # from here on it can be cancelled
        elif isinstance(message, Exception):
            raise message

    async def _answer(self, responder, started):
        try:
            with responder:
                started.set()
                said = await self._sample(None, responder.request.root.params)
                if isinstance(said, types.ErrorData):
                    await responder.respond(said)
                else:
                    await responder.respond(types.ClientResult(root=said))
        finally:
            # When the bridge takes the request back, the library cancels what is done under it.
            if responder.cancelled:
                self.cancelled.put(responder.request_id)


class MuteHost(Host):
    """A host that offers nothing: no sampling, no channels."""

    def _session(self, read, write):
        return ClientSession(read, write, client_info=self.client_info)


class ChannelHost(Host):
    """A host as Claude Code is one: events arrive by `notifications/claude/channel`, and the model
    answers by calling tools. `answer` gets the host and the event's parameters.

    The official client drops notifications that it does not know, so they are taken from the stream
    on its way into the session.
    """

    client_info = types.Implementation(name="claude-code", version="2.1.0")

    def __init__(self, stderr, answer, env=None, args=()):
        super().__init__(stderr, env=env, args=args)
        self._reply = answer
        self.events = queue.Queue()  # the parameters of every event

    @contextlib.asynccontextmanager
    async def _session(self, read, write):
        deliver, rest = anyio.create_memory_object_stream(0)

        async def sort(answers):
            async with deliver:
                async for message in read:
                    event = self._event(message)
                    if event is None:
                        await deliver.send(message)
                    else:
                        self.events.put(event)
                        answers.start_soon(self._reply, self, event)

        async with anyio.create_task_group() as answers:
            answers.start_soon(sort, answers)
            async with ClientSession(rest, write, client_info=self.client_info) as session:
                yield session
                # Before the session is gone, or who still uses it would fail.
                answers.cancel_scope.cancel()

    @staticmethod
    def _event(message):
        root = message.message.root if isinstance(message, SessionMessage) else None
        is_event = getattr(root, "method", None) == "notifications/claude/channel"
        return root.params if is_event else None
