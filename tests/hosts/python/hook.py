"""The modern era's way to a model: calls of the tool `hook`, whose result asks for samples, which
the library takes from the host's model and brings with its next call.
"""

import anyio

import common
import web

# HTTP requests wait for a host, since the hook is closed for a moment between two calls.
WAIT = ["--host-wait", f"{common.PATIENCE}s"]
# Requests need not wait until the first one has succeeded.
AT_ONCE = [*WAIT, "--consent-hold", "0"]


async def keep_open(host, calls=None, failure=()):
    """Calls the hook again whenever it ends, as its result says, until it is cancelled. `calls` gets
    the result of each call; a `failure` is a call that the host gave up, after which it calls again.
    """
    while True:
        try:
            result = await host.call("hook")
        except failure:
            continue
        assert not result.is_error and "hook" in result.text, result.text
        if calls is not None:
            calls.append(result)


async def leg(host, responses=None, state=None):
    """One call of the hook, whose round is left to the test: an InputRequiredResult, or the end."""
    with anyio.fail_after(common.PATIENCE):
        return await host.session.call_tool(
            "hook",
            {},
            input_responses=responses,
            request_state=state,
            allow_input_required=True,
        )


async def waiting(host, number):
    """Waits until so many HTTP requests wait."""

    async def holds():
        return (await host.status())["openai_api"]["in_flight"] == number

    await web.until(holds)
