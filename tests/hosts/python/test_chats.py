"""HTTP chats through a host that samples."""

import socket

import pytest

import common
import web

# One transparent pixel.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJ"
    "RU5ErkJggg=="
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", [web.complete, web.message], ids=["OpenAI", "Anthropic"])
async def test_a_chat_is_answered_by_the_hosts_model(start, dialect, stream):
    async with start() as host:
        answer = await dialect(await host.address(), "Hello", stream=stream)
        assert answer.status == 200
        assert answer.text == "echo: Hello"
        assert answer.way == host.way


async def test_each_of_several_clients_gets_its_own_answer(start):
    async with start() as host:
        texts = [f"number {number}" for number in range(12)]
        answers = await web.several(await host.address(), texts)
        assert {text: answer.text for text, answer in answers.items()} == {
            text: f"echo: {text}" for text in texts
        }
        assert {answer.way for answer in answers.values()} == {host.way}
        assert (await host.status())["openai_api"]["in_flight"] == 0


async def test_the_hosts_tools_are_called(start):
    async def model(heard):
        if heard.kinds[-1] == "tool_result":
            return f"It is {heard.text}."
        assert heard.tools == ["weather"]
        return common.ToolUse("weather", {"city": "Paris"})

    async with start(model, tools=True) as host:
        address = await host.address()
        question = web.user("How is the weather in Paris?")
        answer = await web.complete(address, question, tools=[WEATHER])
        assert answer.calls == [{"name": "weather", "arguments": {"city": "Paris"}}]
        call = {"name": "weather", "arguments": '{"city":"Paris"}'}
        turn = [
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        ]
        answer = await web.complete(address, question + turn, tools=[WEATHER])
        assert answer.text == "It is sunny."


async def test_images_and_limits_reach_the_model(start):
    async def model(heard):
        return f"{heard.max_tokens} {heard.kinds}"

    async with start(model) as host:
        content = [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
        ]
        answer = await web.complete(await host.address(), web.user(content), max_tokens=77)
        assert answer.text == "77 ['text', 'image']"


async def test_a_host_without_a_model_is_told_of(start):
    async with start(None) as host:
        answer = await web.complete(await host.address(), "Hello")
        assert (answer.status, answer.error) == (503, "no_model")


async def test_nothing_listens_once_the_host_is_gone(start):
    async with start() as host:
        address = await host.address()
        assert (await web.complete(address, "Hello")).status == 200
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address, common.PATIENCE):
        pass


async def test_the_tools_are_listed_and_their_results_fit_their_schemas(start):
    async with start() as host:
        # The libraries check what a listed tool returns.
        assert {"hook", "runtime_status", "http_server_status"} <= set(await host.names())
        status = await host.status()
        assert status["mcp"]["client"]["name"] == common.CLIENT_NAME
        assert not (await host.call("channel_debug_events", {"limit": 5})).is_error
        wrong = await host.call("channel_reply", {"request_id": 7})
        assert wrong.is_error and "request_id" in wrong.text
