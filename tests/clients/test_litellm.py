"""`litellm`, which speaks both dialects: as an OpenAI-compatible server, and as Anthropic's API."""

import asyncio
import json

import litellm
import openai
import pydantic
import pytest
from mcp import types

import hosts
import models
from test_openai_tools import TOOLS

litellm.telemetry = False
litellm.suppress_debug_info = True

# How litellm names the two dialects, and where it wants to be pointed for each.
DIALECTS = ["openai/m", "anthropic/claude-x"]


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.fixture(params=DIALECTS)
def ask_of(request):
    """`litellm.completion` towards a host's bridge, in one dialect and then in the other."""

    def bound(host):
        base = host.url if request.param.startswith("openai/") else host.root

        def ask(messages, **more):
            options = {"api_key": "unused", "max_retries": 0, "timeout": hosts.PATIENCE} | more
            return litellm.completion(
                model=request.param, api_base=base, messages=messages, **options
            )

        return ask

    return bound


def whole(ask, messages, **more):
    return ask(messages, **more).choices[0]


def streamed(ask, messages, **more):
    chunks = list(ask(messages, stream=True, **more))
    return litellm.stream_chunk_builder(chunks).choices[0]


WAYS = pytest.mark.parametrize("way", [whole, streamed])


def test_a_whole_answer(host, ask_of, user):
    messages = [{"role": "system", "content": "Be brief."}, *user("Hello")]
    answer = ask_of(host)(messages, temperature=0.25, max_tokens=9, stop=["END"])
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("echo: Hello", "stop")
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    asked = host.asked.get_nowait()
    assert asked.systemPrompt == "Be brief."
    assert (asked.temperature, asked.maxTokens, asked.stopSequences) == (0.25, 9, ["END"])


def test_a_stream(host, ask_of, user):
    options = {"include_usage": True}
    chunks = list(ask_of(host)(user("Hello 你好"), stream=True, stream_options=options))
    pieces = [c.delta.content or "" for chunk in chunks for c in chunk.choices]
    assert "".join(pieces) == "echo: Hello 你好"
    built = litellm.stream_chunk_builder(chunks)
    assert built.choices[0].finish_reason == "stop"
    assert built.usage.prompt_tokens > 0 and built.usage.completion_tokens > 0


@pytest.mark.parametrize("model", DIALECTS)
def test_many_at_once(host, model):
    base = host.url if model.startswith("openai/") else host.root

    async def one(number):
        messages = [{"role": "user", "content": f"question {number}"}]
        answer = await litellm.acompletion(
            model=model, api_base=base, api_key="unused", messages=messages, max_retries=0
        )
        return answer.choices[0].message.content

    async def scenario():
        return await asyncio.gather(*map(one, range(20)))

    assert asyncio.run(scenario()) == [f"echo: question {number}" for number in range(20)]


def turn(ask, way, messages, **more):
    choice = way(ask, messages, tools=TOOLS, **more)
    messages.append(choice.message.model_dump())
    for call in choice.message.tool_calls or []:
        said = models.RUN[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
    return choice


@WAYS
def test_an_agent_that_calls_one_tool_after_the_other(host_of, ask_of, user, way):
    ask = ask_of(host_of(models.Traveller()))
    messages = user("What shall I wear in Paris?")
    called = []
    while (choice := turn(ask, way, messages)).finish_reason == "tool_calls":
        called += [call.function.name for call in choice.message.tool_calls]
    assert called == ["weather", "fahrenheit"]
    assert (choice.finish_reason, choice.message.content) == ("stop", models.Traveller.END)


@WAYS
def test_two_calls_in_one_answer(host_of, ask_of, user, way):
    ask = ask_of(host_of(models.both_cities))
    messages = user("Where is it warmer?")
    assert len(turn(ask, way, messages).message.tool_calls) == 2
    assert turn(ask, way, messages).message.content == "18 C, cloudy / 25 C, sunny"


def test_a_tool_that_must_be_called(host_of, ask_of, user):
    host = host_of(models.Traveller())
    choice = {"type": "function", "function": {"name": "weather"}}
    turn(ask_of(host), whole, user("?"), tool_choice=choice)
    assert list(models.Asked.of(host.asked.get_nowait()).tools) == ["weather"]


def test_structured_output(host_of, user):
    host = host_of(models.Person(careless=True))
    answer = litellm.completion(
        model="openai/m",
        api_base=host.url,
        api_key="unused",
        messages=user("Who?"),
        response_format=Person,
    )
    said = answer.choices[0].message.content
    assert Person.model_validate_json(said) == Person(name="Ann", age=41)


def test_structured_output_by_messages(host_of, user):
    """For models that it does not know litellm asks for the form as a tool of its own making."""

    async def person(params):
        asked = models.Asked.of(params)
        if not asked.tools:
            return '{"name": "Ann", "age": 41}'
        return asked.call((next(iter(asked.tools)), {"name": "Ann", "age": 41}), text="")

    host = host_of(person)
    for model in ("claude-x", "claude-sonnet-4-5"):
        answer = litellm.completion(
            model=f"anthropic/{model}",
            api_base=host.root,
            api_key="unused",
            messages=user("Who?"),
            response_format=Person,
        )
        said = answer.choices[0].message.content
        assert Person.model_validate_json(said) == Person(name="Ann", age=41), model


def refusing(code, message):
    async def refuse(params):
        return types.ErrorData(code=code, message=message)

    return refuse


def test_a_host_that_refuses(start, ask_of, user):
    """Litellm has a class for 403, but raises it of neither dialect."""
    ask = ask_of(start(hosts.ConcurrentHost, model=refusing(-32000, "the user said no")))
    with pytest.raises((litellm.APIError, litellm.APIConnectionError), match="the user said no"):
        ask(user("Hello"))


def test_a_prompt_that_is_too_long(start, ask_of, user):
    ask = ask_of(start(hosts.ConcurrentHost, model=refusing(-32603, "context length exceeded")))
    with pytest.raises(litellm.ContextWindowExceededError):
        ask(user("Hello"))


def test_a_model_that_fails(start, ask_of, user):
    ask = ask_of(start(hosts.ConcurrentHost, model=refusing(-32603, "out of order")))
    with pytest.raises(litellm.BadGatewayError, match="out of order"):
        ask(user("Hello"))
    with pytest.raises(openai.APIError, match="out of order"):
        list(ask(user("Hello"), stream=True))


def test_a_wrong_key(start, ask_of, user):
    ask = ask_of(start(hosts.ConcurrentHost, env={"MODELTAP_API_KEY": "right"}))
    with pytest.raises(litellm.AuthenticationError):
        ask(user("Hello"), api_key="wrong")
    assert ask(user("Hello"), api_key="right").choices


def test_a_wrong_field(host, ask_of, user):
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        ask_of(host)(user("Hello"), temperature=3)


def test_a_host_without_a_model(start, ask_of, user):
    # The second is how it calls Anthropic's overloaded_error.
    with pytest.raises((litellm.ServiceUnavailableError, litellm.InternalServerError), match="sampling"):
        ask_of(start(hosts.MuteHost))(user("Hello"))


def test_a_model_that_does_not_answer_in_time(start, ask_of, user):
    async def never(params):
        await asyncio.Event().wait()

    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    with pytest.raises((litellm.Timeout, litellm.InternalServerError), match="no answer within"):
        ask_of(host)(user("Hello"))
    assert host.asked.qsize() == 1
