"""What only the modern era has: the rounds of the tool `hook`."""

import anyio
import pytest
from mcp import MCPError

import common
import hook
import types2
import web
from conftest import kind


def asked(round):
    """What a round asks for: the text of each request, by its key."""
    return {
        key: common.heard(request.params).text for key, request in round.input_requests.items()
    }


def answers_of(texts):
    """The responses to these requests."""
    return {key: types2.result_of(f"echo: {text}") for key, text in texts.items()}


class Asking:
    """HTTP requests under way."""

    def __init__(self, group, address, texts):
        self.answers = {}
        for text in texts:
            group.start_soon(self._ask, address, text)

    async def _ask(self, address, text):
        answer = await web.complete(address, text)
        self.answers[text] = answer.text if answer.status == 200 else answer

    async def all_in(self, number):
        async def holds():
            return len(self.answers) == number

        await web.until(holds)


async def test_the_modern_era_is_spoken(modern):
    async with modern() as host:
        assert host.version == "2026-07-28"
        assert (await host.status())["mcp"]["client"]["name"] == common.CLIENT_NAME


async def test_who_offers_no_sampling_is_served_the_modern_era(stderr):
    async with kind.start("auto", None, stderr) as host:
        assert host.version == "2026-07-28"


async def test_the_legacy_era_can_be_forced(stderr):
    async with kind.start("auto", None, stderr, args=["--era", "legacy"]) as host:
        assert host.version == "2025-11-25"


async def test_eight_waiting_requests_are_one_round(modern):
    texts = [f"number {number}" for number in range(8)]
    here = 0
    all_here = anyio.Event()

    async def together(heard):
        nonlocal here
        here += 1
        if here == len(texts):
            all_here.set()
        with anyio.fail_after(common.PATIENCE):
            await all_here.wait()
        return f"echo: {heard.text}"

    async with modern(together, args=hook.AT_ONCE) as host, anyio.create_task_group() as group:
        asking = Asking(group, await host.address(), texts)
        await hook.waiting(host, len(texts))
        group.start_soon(hook.keep_open, host)
        await asking.all_in(len(texts))
        assert asking.answers == {text: f"echo: {text}" for text in texts}
        group.cancel_scope.cancel()


async def test_a_round_has_no_more_requests_than_is_set(modern):
    texts = [f"number {number}" for number in range(7)]
    args = [*hook.AT_ONCE, "--round-requests", "3"]
    async with modern(args=args) as host, anyio.create_task_group() as group:
        asking = Asking(group, await host.address(), texts)
        await hook.waiting(host, len(texts))
        round = await hook.leg(host)
        seen = [len(round.input_requests)]
        while sum(seen) < len(texts):
            round = await hook.leg(host, answers_of(asked(round)), round.request_state)
            seen.append(len(round.input_requests))
        assert seen == [3, 3, 1]
        # The next one waits for requests, and must be there for its answers to be taken.
        group.start_soon(hook.leg, host, answers_of(asked(round)), round.request_state)
        await asking.all_in(len(texts))
        assert asking.answers == {text: f"echo: {text}" for text in texts}
        group.cancel_scope.cancel()


async def test_a_hundred_rounds_in_a_row_lose_nothing(modern):
    calls = []
    async with modern(args=hook.WAIT) as host, anyio.create_task_group() as group:
        group.start_soon(hook.keep_open, host, calls)
        address = await host.address()
        for number in range(100):
            answer = await web.complete(address, f"number {number}", stream=number % 2 == 1)
            assert (answer.text, answer.way) == (f"echo: number {number}", "hook")
        # Each call ends by its eighth round, before the library would give up.
        assert len(calls) >= 100 // 8
        group.cancel_scope.cancel()


async def test_what_a_round_leaves_unanswered_is_asked_again(modern):
    async with modern(args=hook.AT_ONCE) as host, anyio.create_task_group() as group:
        asking = Asking(group, await host.address(), ["one", "two"])
        await hook.waiting(host, 2)
        round = await hook.leg(host)
        texts = asked(round)
        assert sorted(texts.values()) == ["one", "two"]
        some = {key: text for key, text in texts.items() if text == "one"}
        round = await hook.leg(host, answers_of(some), round.request_state)
        assert list(asked(round).values()) == ["two"]
        group.start_soon(hook.leg, host, answers_of(asked(round)), round.request_state)
        await asking.all_in(2)
        assert asking.answers == {"one": "echo: one", "two": "echo: two"}
        group.cancel_scope.cancel()


class Refusing:
    """A model that refuses one text. In these libraries that ends the call of the hook, with all the
    other answers of its round; the server is told nothing.
    """

    def __init__(self, text, times):
        self.text = text
        self.left = times

    async def __call__(self, heard):
        if heard.text == self.text and self.left:
            self.left -= 1
            raise common.Refused(-1, "not now")
        return f"echo: {heard.text}"


async def test_a_round_that_the_host_gives_up_is_asked_again(modern):
    model = Refusing("one", times=1)
    async with modern(model, args=hook.AT_ONCE) as host, anyio.create_task_group() as group:
        asking = Asking(group, await host.address(), ["one", "two"])
        await hook.waiting(host, 2)
        group.start_soon(hook.keep_open, host, None, MCPError)
        await asking.all_in(2)
        assert not model.left
        assert asking.answers == {"one": "echo: one", "two": "echo: two"}
        group.cancel_scope.cancel()


async def test_a_request_that_is_always_refused_takes_no_other_with_it(modern):
    texts = [f"number {number}" for number in range(8)]
    model = Refusing("number 3", times=100)
    async with modern(model, args=hook.AT_ONCE) as host, anyio.create_task_group() as group:
        asking = Asking(group, await host.address(), texts)
        await hook.waiting(host, len(texts))
        group.start_soon(hook.keep_open, host, None, MCPError)
        await asking.all_in(len(texts))
        refused = asking.answers.pop("number 3")
        assert (refused.status, refused.error) == (502, "host_error")
        # As often as it is offered by default.
        assert "took the request 3 times" in refused.body
        assert asking.answers == {text: f"echo: {text}" for text in texts if text != "number 3"}
        assert (await host.status())["openai_api"]["in_flight"] == 0
        group.cancel_scope.cancel()


async def test_forged_and_replayed_states_are_refused(modern):
    async with modern(args=hook.AT_ONCE) as host, anyio.create_task_group() as group:
        asking = Asking(group, await host.address(), ["one"])
        round = await hook.leg(host)
        responses = answers_of(asked(round))

        async def refused(state):
            try:
                return getattr(await hook.leg(host, responses, state), "is_error", False)
            except MCPError:
                return True

        state = round.request_state
        other = "A" if state[-1] != "A" else "B"
        assert await refused("forged")
        assert await refused(state[:-1] + other)
        assert asking.answers == {}
        group.start_soon(hook.leg, host, responses, state)
        await asking.all_in(1)
        assert await refused(state)
        assert asking.answers == {"one": "echo: one"}
        group.cancel_scope.cancel()


async def test_a_hook_that_is_cancelled_is_closed_at_once(modern):
    async with modern() as host:
        address = await host.address()

        async def answered():
            return (await web.complete(address, "Hello")).status == 200

        # Often, since it must be known as closed before the next line is read.
        for _ in range(20):
            async with anyio.create_task_group() as group:
                group.start_soon(host.call, "hook")
                await web.until(answered)
                group.cancel_scope.cancel()
            # Once this is answered, the cancellation before it has been read.
            assert (await host.status())["mcp"]["open_hooks"] == 0
            answer = await web.complete(address, "Hello")
            assert (answer.status, answer.error) == (503, "no_model")


async def test_one_of_two_hooks_is_cancelled_and_the_other_serves(modern):
    async with modern() as host, anyio.create_task_group() as group:
        address = await host.address()

        async def open_hooks():
            return (await host.status())["mcp"]["open_hooks"]

        async def both():
            return await open_hooks() == 2

        group.start_soon(host.call, "hook")
        async with anyio.create_task_group() as second:
            second.start_soon(host.call, "hook")
            await web.until(both)
            second.cancel_scope.cancel()
        assert await open_hooks() == 1
        assert (await web.complete(address, "Hello")).text == "echo: Hello"
        group.cancel_scope.cancel()


async def test_the_hook_needs_sampling(modern):
    async with modern(None) as host:
        with pytest.raises(MCPError) as caught:
            await hook.leg(host)
        assert caught.value.error.code == -32021
        assert "sampling" in caught.value.error.data["requiredCapabilities"]
