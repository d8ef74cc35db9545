"""`langchain-anthropic`: chat models through messages."""

import asyncio

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core import exceptions
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from mcp import types
from pydantic import BaseModel

import hosts
import models

TOOLS = [tool(function) for function in models.RUN.values()]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@pytest.fixture
def chat_of():
    def make(host, **options):
        options = {"api_key": "unused", "max_retries": 0, "timeout": hosts.PATIENCE} | options
        return ChatAnthropic(model="claude-x", base_url=host.root, **options)

    return make


def whole(chat, messages):
    return chat.invoke(messages)


def streamed(chat, messages):
    chunks = list(chat.stream(messages))
    message = chunks[0]
    for chunk in chunks[1:]:
        message += chunk
    return message


WAYS = pytest.mark.parametrize("way", [whole, streamed])


def run(calls):
    by_name = {each.name: each for each in TOOLS}
    return [by_name[call["name"]].invoke(call) for call in calls]


@WAYS
def test_text(host, chat_of, way):
    message = way(chat_of(host), [SystemMessage("Be brief."), HumanMessage("Hello 你好")])
    assert message.text == "echo: Hello 你好"
    assert message.response_metadata["stop_reason"] == "end_turn"
    assert message.usage_metadata["input_tokens"] > 0 and message.usage_metadata["output_tokens"] > 0
    assert host.asked.get_nowait().systemPrompt == "Be brief."


def test_many_at_once(host, chat_of):
    chat = chat_of(host)
    texts = [f"question {number}" for number in range(20)]
    assert [m.content for m in asyncio.run(chat.abatch(texts))] == [f"echo: {t}" for t in texts]


@WAYS
def test_an_agent_that_calls_one_tool_after_the_other(host_of, chat_of, way):
    chat = chat_of(host_of(models.Traveller())).bind_tools(TOOLS)
    messages = [HumanMessage("What shall I wear in Paris?")]
    called = []
    while (message := way(chat, messages)).tool_calls:
        called += [(call["name"], call["args"]) for call in message.tool_calls]
        messages += [message, *run(message.tool_calls)]
    assert called == [("weather", {"city": "Paris"}), ("fahrenheit", {"celsius": 18})]
    assert message.text == models.Traveller.END
    assert messages[1].text == "Let me see."


@WAYS
def test_two_calls_in_one_answer(host_of, chat_of, way):
    chat = chat_of(host_of(models.both_cities)).bind_tools(TOOLS)
    messages = [HumanMessage("Where is it warmer?")]
    message = way(chat, messages)
    assert way(chat, [*messages, message, *run(message.tool_calls)]).text == (
        "18 C, cloudy / 25 C, sunny"
    )


def test_a_conversation_of_another_model_is_taken_over(host_of, chat_of):
    """Its ids are not ours, and what it called is not on offer any more."""
    call = {"name": "search", "args": {"q": "Paris"}, "id": "toolu_01", "type": "tool_call"}
    messages = [
        HumanMessage("What shall I wear?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("nothing found", tool_call_id="toolu_01"),
        HumanMessage("Try again."),
    ]
    chat = chat_of(host_of(hosts.echo))
    assert chat.invoke(messages).content == "echo: Try again."
    assert chat.bind_tools(TOOLS).invoke(messages).content == "echo: Try again."


def test_a_tool_that_must_be_called(host_of, chat_of):
    host = host_of(models.Traveller())
    chat = chat_of(host).bind_tools(TOOLS, tool_choice="weather", parallel_tool_calls=False)
    assert [call["name"] for call in chat.invoke("?").tool_calls] == ["weather"]
    assert list(models.Asked.of(host.asked.get_nowait()).tools) == ["weather"]


def test_structured_output(host_of, chat_of):
    host = host_of(models.Person(careless=True))
    chat = chat_of(host).with_structured_output(Person, method="json_schema")
    assert chat.invoke("Who?") == Person(name="Ann", age=41)


def test_structured_output_by_a_tool(host_of, chat_of):
    async def person(params):
        return models.Asked.of(params).call(("Person", {"name": "Ann", "age": 41}), text="")

    chat = chat_of(host_of(person)).with_structured_output(Person, method="function_calling")
    assert chat.invoke("Who?") == Person(name="Ann", age=41)
    assert list(chat.stream("Who?"))[-1] == Person(name="Ann", age=41)


def test_errors_have_the_classes_of_langchain(start, chat_of):
    host = start(hosts.ConcurrentHost, env={"MODELTAP_API_KEY": "right"})
    with pytest.raises(exceptions.ModelAuthenticationError):
        chat_of(host, api_key="wrong").invoke("Hello")
    chat = chat_of(host, api_key="right")
    assert chat.invoke("Hello").content == "echo: Hello"
    with pytest.raises(exceptions.ModelInvalidRequestError, match="temperature"):
        chat.bind(temperature=3).invoke("Hello")
    with pytest.raises(anthropic.APIError, match="temperature"):
        list(chat.bind(temperature=3).stream("Hello"))
    for code, message, error in [
        (-32000, "the user said no", exceptions.ModelPermissionDeniedError),
        (-32603, "out of order", exceptions.ModelAPIError),
        (-32603, "context length exceeded", exceptions.ContextOverflowError),
    ]:

        async def refuse(params):
            return types.ErrorData(code=code, message=message)

        host.model = refuse
        with pytest.raises(error, match=message):
            chat.invoke("Hello")
    with pytest.raises(exceptions.ContextOverflowError):
        list(chat.stream("Hello"))


def test_a_host_without_a_model(start, chat_of):
    with pytest.raises(exceptions.ModelAPIError, match="sampling"):
        chat_of(start(hosts.MuteHost), max_retries=2).invoke("Hello")


def test_a_model_that_does_not_answer_in_time(start, chat_of):
    async def never(params):
        await asyncio.Event().wait()

    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    with pytest.raises(exceptions.ModelAPIError, match="no answer within 300ms"):
        chat_of(host, max_retries=2).invoke("Hello")
    assert host.asked.qsize() == 1
    with pytest.raises(exceptions.ModelTimeoutError):
        chat_of(host, timeout=0.1).invoke("Hello")
