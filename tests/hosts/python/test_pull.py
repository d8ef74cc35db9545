"""HTTP chats through a host that offers tools only, in both eras: its model pulls."""

import os
import socket
import sys

import anyio
import loopback
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

import common
import process
import pull
import web
from conftest import LEGACY, NAME, UNASKED, kind
from test_chats import PIXEL, WEATHER

# How long two hours are, in waits of the usual length.
TWO_HOURS = 2 * 60 * 60 // 45
# How many calls a person stops one after the other.
CANCELLED = 3 if kind.CONCURRENT else 1


# Who offers no sampling is served the modern era where it asks for it, so `auto` is modern here.
@pytest.fixture(params=LEGACY + UNASKED)
def era(request):
    return request.param[0]


@pytest.fixture
def start(era, stderr):
    """Starts hosts without sampling."""
    return lambda *args: kind.start(era, None, stderr, args=[*pull.ARGS, *args])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", [web.complete, web.message], ids=["OpenAI", "Anthropic"])
async def test_a_chat_is_answered_by_a_model_that_pulls(start, dialect, stream):
    async with start() as host, anyio.create_task_group() as group:
        async with pull.pulling(group, host) as puller:
            answer = await dialect(await host.address(), "Hello", stream=stream)
            assert (answer.status, answer.text) == (200, "echo: Hello")
            assert answer.way == "pull"
            [request] = puller.taken
            assert request["stream"] is stream


async def test_each_of_several_clients_gets_its_own_answer_for_one_call_each(start):
    texts = [f"number {number}" for number in range(12)]
    async with start() as host, anyio.create_task_group() as group:
        async with pull.pulling(group, host) as puller:
            answers = await web.several(await host.address(), texts)
            assert {text: answer.text for text, answer in answers.items()} == {
                text: f"echo: {text}" for text in texts
            }
            assert {answer.way for answer in answers.values()} == {"pull"}
            # The last call brought the last answer, and waits.
            assert puller.calls - puller.idle == len(texts)


async def test_the_loop_goes_on_through_two_hours_of_nothing(start):
    async with start("--pull-wait", "10ms") as host, anyio.create_task_group() as group:
        puller = pull.Puller(host, pull.echo)
        for _ in range(TWO_HOURS):
            assert await puller.turn() is None
        assert (await host.status())["mcp"]["open_pulls"] == 0
        answers = []

        async def ask():
            answers.append(await web.complete(await host.address(), "Hello"))

        group.start_soon(ask)
        reply = None
        with anyio.fail_after(common.PATIENCE):
            while not answers:
                reply = await puller.turn(reply)
        assert answers[0].text == "echo: Hello"


async def test_a_model_may_ask_for_a_shorter_wait(start):
    async with start() as host:
        puller = pull.Puller(host, pull.echo, wait_seconds=1)
        with anyio.fail_after(common.PATIENCE):
            assert await puller.turn() is None


async def test_what_a_cancelled_call_would_have_brought_comes_with_the_next(start):
    # Not every library tells the server that it cancelled; then the lease has to end.
    args = [] if kind.CONCURRENT else ["--lease", "1s"]
    async with start(*args) as host, anyio.create_task_group() as group:
        for _ in range(CANCELLED):
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(pull.Puller(host, pull.echo).turn)
                # Once the second of these is answered, the call before it has been read.
                await host.status()
                await host.status()
                cancelled.cancel_scope.cancel()
        async with pull.pulling(group, host):
            assert (await web.complete(await host.address(), "Hello")).text == "echo: Hello"


async def test_what_a_model_took_and_forgot_is_handed_out_again(start):
    async with start("--lease", "1s") as host, anyio.create_task_group() as group:
        answers = []

        async def ask():
            answers.append(await web.complete(await host.address(), "Hello"))

        group.start_soon(ask)
        forgetful = pull.Puller(host, pull.echo)
        assert await forgetful.turn()
        async with pull.pulling(group, host) as puller:

            async def answered():
                return bool(answers)

            await web.until(answered)
            assert answers[0].text == "echo: Hello"
            # Under a name of its own, so that a late reply to the first one is known as such.
            assert puller.taken[0]["prompt"] == forgetful.taken[0]["prompt"]
            assert puller.taken[0]["request_id"] != forgetful.taken[0]["request_id"]


async def test_a_reply_to_nothing_is_refused_by_name(start):
    async with start("--pull-wait", "10ms") as host:
        reply = {"request_id": "no-such-request", "content": "Hello"}
        told = await host.call("next_request", {"reply": reply})
        assert "no-such-request" in told.text


async def test_a_host_that_ends_in_the_middle_has_its_clients_told(start):
    answers = []
    async with anyio.create_task_group() as group:
        async with start() as host:
            address = await host.address()

            async def ask():
                answers.append(await web.complete(address, "Hello"))

            group.start_soon(ask)
            assert await pull.Puller(host, pull.echo).turn()
    # The host had it, so it is not to be repeated unasked.
    assert answers[0].status == 502


async def test_a_host_that_is_killed_in_the_middle_has_its_clients_told_and_leaves_nothing(era):
    command = [sys.executable, process.__file__, NAME, era, *pull.ARGS]
    paths = {"PYTHONPATH": os.path.dirname(loopback.__file__)}
    async with (
        await anyio.open_process(command, stderr=None, env=os.environ | paths) as host,
        anyio.create_task_group() as group,
    ):
        told = BufferedByteReceiveStream(host.stdout)

        async def line():
            with anyio.fail_after(common.PATIENCE):
                return (await told.receive_until(b"\n", 1000)).decode()

        name, port = (await line()).split()
        answers = []

        async def ask():
            answers.append(await web.complete((name, int(port)), "Hello"))

        group.start_soon(ask)
        assert await line() == "taken: USER: Hello"
        assert answers == []
        host.kill()

        async def gone():
            try:
                address = (name, int(port))
                with await web.in_thread(socket.create_connection, address, common.PATIENCE):
                    return False
            except ConnectionResetError:
                # It closes in this very moment.
                return False
            except ConnectionRefusedError:
                return True

        await web.until(gone)
    # The host had it, so it is not to be repeated unasked.
    assert answers[0].status == 502


async def test_images_come_as_images_and_tools_are_called(start):
    async def model(request):
        if puller.images:
            return "an image"
        return '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'

    async with start() as host, anyio.create_task_group() as group:
        async with pull.pulling(group, host, model) as puller:
            address = await host.address()
            question = web.user("How is the weather in Paris?")
            answer = await web.complete(address, question, tools=[WEATHER])
            assert answer.calls == [{"name": "weather", "arguments": {"city": "Paris"}}]
            content = [{"type": "image_url", "image_url": {"url": PIXEL}}]
            assert (await web.complete(address, web.user(content))).text == "an image"
