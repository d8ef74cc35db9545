"""OpenAI's Responses API: the official `openai` client, and `langchain-openai` and `litellm` where they
take this way.
"""

import asyncio
import json

import litellm
import openai
import pydantic
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from mcp import types

import hosts
import models

TOOLS = [
    {
        "type": "function",
        "name": name,
        "description": function.__doc__,
        "parameters": models.SCHEMAS[name],
        "strict": True,
    }
    for name, function in models.RUN.items()
]


class Person(pydantic.BaseModel):
    name: str
    age: int


def whole(client, **request):
    return client.responses.create(model="m", **request)


def streamed(client, **request):
    with client.responses.stream(model="m", **request) as stream:
        numbers = [event.sequence_number for event in stream]
        response = stream.get_final_response()
    assert numbers == list(range(len(numbers)))
    return response


WAYS = pytest.mark.parametrize("ask", [whole, streamed])


def calls_of(response):
    return [item for item in response.output if item.type == "function_call"]


def outputs_of(response):
    """What comes of the calls, as items of the next input."""
    return [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": models.RUN[call.name](**json.loads(call.arguments)),
        }
        for call in calls_of(response)
    ]


@WAYS
def test_an_answer(client, host, ask):
    text = 'Grüße, 你好, 🦀, "quoted", \\ back, \r\n\t end, \u2028, data: [DONE]\n\n' * 200
    response = ask(
        client,
        instructions="Be brief.",
        input=text,
        max_output_tokens=9,
        temperature=0.25,
        metadata={"k": "v"},
        user="ann",
        reasoning={"effort": "low"},
        store=False,
    )
    assert (response.object, response.status, response.model) == ("response", "completed", "m")
    assert response.output_text == f"echo: {text}"
    assert (response.instructions, response.metadata) == ("Be brief.", {"k": "v"})
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0
    asked = host.asked.get_nowait()
    assert (asked.systemPrompt, asked.maxTokens, asked.temperature) == ("Be brief.", 9, 0.25)


def test_the_events_of_a_stream(client):
    with client.responses.create(model="m", input="Hello", stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_an_answer_that_is_cut_off(start, client_of):
    async def cut(params):
        content = types.TextContent(type="text", text="cut")
        return types.CreateMessageResult(
            role="assistant", content=content, model="scripted-model", stopReason="maxTokens"
        )

    client = client_of(start(hosts.ConcurrentHost, model=cut))
    # The helper for streams knows no end but a complete one, so the last event is looked at.
    with client.responses.create(model="m", input="Hello", stream=True) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    for response in (whole(client, input="Hello"), last.response):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output_text == "cut"


@WAYS
def test_an_agent_that_sends_all_items_each_time(host_of, client_of, user, ask):
    client = client_of(host_of(models.Traveller()))
    items = user("What shall I wear in Paris?")
    called = []
    while calls := calls_of(response := ask(client, input=items, tools=TOOLS, store=False)):
        called += [call.name for call in calls]
        items += [*response.output, *outputs_of(response)]
    assert called == ["weather", "fahrenheit"]
    assert response.output_text == models.Traveller.END
    assert items[1].content[0].text == "Let me see."


@WAYS
def test_an_agent_that_refers_to_what_was_answered(host_of, client_of, user, ask):
    client = client_of(host_of(models.Traveller()))
    response = ask(client, input=user("What shall I wear in Paris?"), tools=TOOLS)
    called = []
    while calls := calls_of(response):
        called += [call.name for call in calls]
        response = ask(
            client, previous_response_id=response.id, input=outputs_of(response), tools=TOOLS
        )
    assert called == ["weather", "fahrenheit"]
    assert response.output_text == models.Traveller.END


@WAYS
def test_two_calls_in_one_answer(host_of, client_of, user, ask):
    client = client_of(host_of(models.both_cities))
    items = user("Where is it warmer?")
    response = ask(client, input=items, tools=TOOLS)
    assert len({call.call_id for call in calls_of(response)}) == 2
    items += [*response.output, *outputs_of(response)]
    assert ask(client, input=items, tools=TOOLS).output_text == "18 C, cloudy / 25 C, sunny"


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        ("required", ["weather", "fahrenheit"]),
        ({"type": "function", "name": "weather"}, ["weather"]),
    ],
)
def test_the_choice_of_tools(host_of, client_of, choice, offered):
    host = host_of(models.Traveller())
    response = whole(client_of(host), input="?", tools=TOOLS, tool_choice=choice)
    assert [call.name for call in calls_of(response)] == ["weather"]
    assert list(models.Asked.of(host.asked.get_nowait()).tools) == offered


@pytest.mark.parametrize("careless", [False, True])
def test_an_answer_is_parsed_into_a_class(host_of, client_of, careless):
    host = host_of(models.Person(careless))
    response = client_of(host).responses.parse(model="m", input="Who?", text_format=Person)
    assert response.output_parsed == Person(name="Ann", age=41)
    assert host.asked.qsize() == 1 + careless


def test_a_stream_is_parsed_into_a_class(host_of, client_of):
    client = client_of(host_of(models.Person(careless=True)))
    response = streamed(client, input="Who?", text_format=Person)
    assert response.output_parsed == Person(name="Ann", age=41)


def test_what_is_stored_can_be_fetched_and_forgotten(client):
    response = whole(client, input="Hello")
    assert client.responses.retrieve(response.id).output_text == "echo: Hello"
    (item,) = client.responses.input_items.list(response.id)
    assert item.content[0].text == "Hello"
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as caught:
        whole(client, input="And?", previous_response_id=response.id)
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("temperature", 3, "temperature"),
        ("max_output_tokens", 0, "max_output_tokens"),
        ("tools", [{"type": "code_interpreter"}], "tools[0]"),
        ("tool_choice", {"type": "function", "name": "f"}, "tool_choice"),
        ("background", True, "background"),
        ("conversation", "conv_1", "conversation"),
        ("top_logprobs", 3, "top_logprobs"),
        ("previous_response_id", "resp_1", "previous_response_id"),
    ],
)
def test_a_wrong_field_is_named(client, field, value, param):
    with pytest.raises(openai.BadRequestError) as caught:
        whole(client, input="Hello", extra_body={field: value})
    assert caught.value.param == param
    assert caught.value.request_id


def test_a_wrong_key(start, client_of):
    host = start(hosts.ConcurrentHost, env={"MODELTAP_API_KEY": "right"})
    with pytest.raises(openai.AuthenticationError):
        whole(client_of(host, api_key="wrong"), input="Hello")
    assert whole(client_of(host, api_key="right"), input="Hello").output_text == "echo: Hello"


@pytest.mark.parametrize(
    ("code", "message", "error", "said"),
    [
        (-32000, "the user said no", openai.PermissionDeniedError, "host_denied"),
        (-32603, "out of order", openai.InternalServerError, "host_error"),
        (-32603, "context window exceeded", openai.BadRequestError, "context_length_exceeded"),
    ],
)
def test_a_host_that_refuses(start, client_of, code, message, error, said):
    async def refuse(params):
        return types.ErrorData(code=code, message=message)

    client = client_of(start(hosts.ConcurrentHost, model=refuse))
    with pytest.raises(error, match=message) as caught:
        whole(client, input="Hello")
    assert caught.value.code == said


def test_a_failure_within_a_stream(start, client_of):
    async def never(params):
        await asyncio.Event().wait()

    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    client = client_of(host)
    with pytest.raises(openai.InternalServerError, match="no answer within 300ms"):
        whole(client, input="Hello")
    with client.responses.create(model="m", input="Hello", stream=True) as stream:
        last = list(stream)[-1]
    assert last.type == "response.failed"
    assert "no answer within 300ms" in last.response.error.message


def test_a_host_without_a_model(start, client_of):
    client = client_of(start(hosts.MuteHost))
    with pytest.raises(openai.InternalServerError, match="sampling") as caught:
        whole(client, input="Hello")
    assert (caught.value.status_code, caught.value.code) == (503, "no_model")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("previous", [False, True])
def test_langchain(host_of, stream, previous):
    """It sends its history as items, or refers to the answer before."""
    host = host_of(models.Traveller())
    chat = ChatOpenAI(
        model="m",
        base_url=host.url,
        api_key="unused",
        max_retries=0,
        use_responses_api=True,
        use_previous_response_id=previous,
    )
    tools = {function.__name__: tool(function) for function in models.RUN.values()}
    bound = chat.bind_tools(list(tools.values()))
    messages = [HumanMessage("What shall I wear in Paris?")]
    called = []
    while True:
        if stream:
            first, *rest = bound.stream(messages)
            message = sum(rest, first)
        else:
            message = bound.invoke(messages)
        messages.append(message)
        if not message.tool_calls:
            break
        called += [call["name"] for call in message.tool_calls]
        messages += [tools[call["name"]].invoke(call) for call in message.tool_calls]
    assert called == ["weather", "fahrenheit"]
    assert message.text == models.Traveller.END
    assert message.usage_metadata["input_tokens"] > 0


def test_langchain_and_a_form(host_of):
    host = host_of(models.Person(careless=True))
    chat = ChatOpenAI(model="m", base_url=host.url, api_key="unused", use_responses_api=True)
    assert chat.with_structured_output(Person).invoke("Who?") == Person(name="Ann", age=41)


@pytest.mark.parametrize("stream", [False, True])
def test_litellm(host_of, user, stream):
    host = host_of(models.Traveller())
    options = {"model": "openai/m", "api_base": host.url, "api_key": "unused", "tools": TOOLS}
    items = user("What shall I wear in Paris?")
    called = []
    while True:
        response = litellm.responses(input=items, stream=stream, **options)
        if stream:
            response = list(response)[-1].response
        if not (calls := calls_of(response)):
            break
        called += [call.name for call in calls]
        items += [item.model_dump(exclude_none=True) for item in response.output]
        items += outputs_of(response)
    assert called == ["weather", "fahrenheit"]
    assert response.output[0].content[0].text == models.Traveller.END
