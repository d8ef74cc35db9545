"""The official `openai` client, asynchronous: many requests at once, none lost, none crossed."""

import asyncio

import openai
import pytest

import hosts

MANY = 50


class Crowd:
    """A model that answers nobody before all have asked, and then the last one first."""

    def __init__(self, size):
        self.size = size
        self.asked = []

    async def __call__(self, params):
        mine = asyncio.Event()
        self.asked.append(mine)
        if len(self.asked) == self.size:
            mine.set()
        await mine.wait()
        self.asked.remove(mine)
        if self.asked:
            self.asked[-1].set()
        return await hosts.echo(params)


async def whole(client, text):
    messages = [{"role": "user", "content": text}]
    answer = await client.chat.completions.create(model="m", messages=messages)
    return answer.choices[0].message.content


async def streamed(client, text):
    messages = [{"role": "user", "content": text}]
    stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
    pieces = [c.delta.content or "" async for chunk in stream for c in chunk.choices]
    return "".join(pieces)


async def ask_all(url, ways):
    """Asks `MANY` questions at once, by these ways in turn."""
    options = {"api_key": "unused", "max_retries": 0, "timeout": hosts.PATIENCE}
    async with openai.AsyncOpenAI(base_url=url, **options) as client:
        questions = (ways[i % len(ways)](client, f"question {i}") for i in range(MANY))
        return await asyncio.gather(*questions)


@pytest.mark.parametrize("ways", [[whole], [streamed], [whole, streamed]])
def test_50_at_once_get_each_its_own_answer(start, ways):
    host = start(hosts.ConcurrentHost, model=Crowd(MANY))
    answers = asyncio.run(ask_all(host.url, ways))
    assert answers == [f"echo: question {i}" for i in range(MANY)]
    assert host.waiting() == 0


def test_50_at_once_are_answered_by_a_host_that_takes_one_at_a_time(start):
    host = start(hosts.Host)
    answers = asyncio.run(ask_all(host.url, [whole, streamed]))
    assert answers == [f"echo: question {i}" for i in range(MANY)]


def test_a_cancelled_task_ends_the_hosts_work_and_harms_nobody_else(start):
    async def some_never(params):
        if "never" in hosts.text_of(params.messages[-1]):
            await asyncio.Event().wait()
        return await hosts.echo(params)

    host = start(hosts.ConcurrentHost, model=some_never)
    url = host.url

    async def scenario():
        options = {"api_key": "unused", "max_retries": 0, "timeout": hosts.PATIENCE}
        async with openai.AsyncOpenAI(base_url=url, **options) as client:
            left = [asyncio.create_task(way(client, "never")) for way in (whole, streamed)]
            for _ in left:
                await asyncio.to_thread(host.asked.get, timeout=hosts.PATIENCE)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            for _ in left:
                await asyncio.to_thread(host.cancelled.get, timeout=hosts.PATIENCE)
            return await whole(client, "still here?")

    assert asyncio.run(scenario()) == "echo: still here?"
    assert host.waiting() == 0
