"""The way of hosts with nothing but tools: a model, scripted, that calls `next_request` over and over,
as that tool's description says, and brings its answer with the next call.
"""

import contextlib
import json

import common

# Requests wait for a host, and have no other way.
ARGS = ["--backend", "pull", "--host-wait", f"{common.PATIENCE}s"]


def request_of(result):
    """The request that a result hands out: none when it says to call again. With images there are
    blocks only, of which the first says what else would be the structured content.
    """
    data = result.data or json.loads(result.first)
    assert "more" not in data
    return data if data["pending"] else None


class Puller:
    """A model that pulls. `answer` is a coroutine function from a request, as it was handed out, to a
    text. What it has seen: how many calls it made, how many of them brought nothing, and the requests.
    """

    def __init__(self, host, answer, **arguments):
        self.host = host
        self.answer = answer
        self.arguments = arguments
        self.calls = 0
        self.idle = 0
        self.taken = []
        self.images = 0

    async def run(self):
        """Until it is cancelled."""
        reply = None
        while True:
            reply = await self.turn(reply)

    async def turn(self, reply=None):
        """One call: brings a reply and takes what is next; the reply to that, or none."""
        arguments = self.arguments | ({"reply": reply} if reply else {})
        result = await self.host.call("next_request", arguments)
        self.calls += 1
        self.images += result.images
        assert not result.is_error, result.text
        request = request_of(result)
        if not request:
            # A model reads no more than this.
            assert "next_request" in result.text, result.text
            self.idle += 1
            return None
        self.taken.append(request)
        return {
            "request_id": request["request_id"],
            "content": await self.answer(request),
        }


async def echo(request):
    """The simplest model. It reads the prompt, whose last message begins with its role."""
    return f"echo: {request['prompt'].rpartition('USER: ')[2]}"


@contextlib.asynccontextmanager
async def pulling(group, host, answer=echo, **arguments):
    """A puller at work, until the block ends."""
    puller = Puller(host, answer, **arguments)
    group.start_soon(puller.run)
    yield puller
    group.cancel_scope.cancel()
