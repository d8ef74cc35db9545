"""Legacy hosts that answer sampling requests side by side, and stop when nobody waits any more."""

import anyio
import pytest

import common
import web


async def test_the_host_is_asked_by_all_clients_at_once(legacy):
    number = 8
    waiting = 0
    all_there = anyio.Event()

    async def together(heard):
        nonlocal waiting
        if heard.text != "first":
            waiting += 1
            if waiting == number:
                all_there.set()
            with anyio.fail_after(common.PATIENCE):
                await all_there.wait()
        return f"echo: {heard.text}"

    async with legacy(together) as host:
        address = await host.address()
        # Until one has succeeded, a host may be asked for one at a time.
        assert (await web.complete(address, "first")).status == 200
        texts = [f"number {each}" for each in range(number)]
        answers = await web.several(address, texts)
        assert {text: answer.text for text, answer in answers.items()} == {
            text: f"echo: {text}" for text in texts
        }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_model_is_stopped_when_its_client_leaves(legacy, stream):
    asked, stopped = anyio.Event(), anyio.Event()

    async def endless(heard):
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async with legacy(endless) as host:
        body = {"model": "m", "messages": web.user("Hello"), "stream": stream}
        address = await host.address()
        connection = await web.in_thread(web.request, address, "/v1/chat/completions", body)
        with anyio.fail_after(common.PATIENCE):
            await asked.wait()
            connection.close()
            await stopped.wait()


async def test_chats_go_on_while_the_hook_is_open_and_cancelling_closes_it(legacy):
    async with legacy() as host:
        address = await host.address()

        async def open_hooks():
            return (await host.status())["mcp"]["open_hooks"]

        async def opened():
            return await open_hooks() == 1

        async def closed():
            return await open_hooks() == 0

        async with anyio.create_task_group() as group:
            group.start_soon(host.call, "hook")
            await web.until(opened)
            answers = await web.several(address, ["one", "two", "three", "four"])
            assert {answer.text for answer in answers.values()} == {
                "echo: one",
                "echo: two",
                "echo: three",
                "echo: four",
            }
            group.cancel_scope.cancel()
        await web.until(closed)
