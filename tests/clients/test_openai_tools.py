"""The official `openai` client: tools and structured output through chat completions, on a host that
takes tools in sampling and on one that knows only text.
"""

import json

import openai
import pydantic
import pytest

import hosts
import models

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": function.__doc__,
            "parameters": models.SCHEMAS[name],
            "strict": True,
        },
    }
    for name, function in models.RUN.items()
]


class Person(pydantic.BaseModel):
    name: str
    age: int


def whole(client, **request):
    return client.chat.completions.create(model="m", **request).choices[0]


def streamed(client, **request):
    with client.chat.completions.stream(model="m", **request) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        choice = stream.get_final_completion().choices[0]
    assert "".join(pieces) == (choice.message.content or "")
    return choice


WAYS = pytest.mark.parametrize("ask", [whole, streamed])


def run(call):
    return models.RUN[call.function.name](**json.loads(call.function.arguments))


def turn(client, ask, messages, **more):
    """Asks, runs what is called, and adds both to the conversation."""
    choice = ask(client, messages=messages, tools=TOOLS, **more)
    messages.append(choice.message.model_dump(exclude_none=True))
    for call in choice.message.tool_calls or []:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": run(call)})
    return choice


@WAYS
def test_an_agent_that_calls_one_tool_after_the_other(host_of, client_of, user, ask):
    client = client_of(host_of(models.Traveller()))
    messages = user("What shall I wear in Paris?")
    called = []
    while (choice := turn(client, ask, messages)).finish_reason == "tool_calls":
        called += [call.function.name for call in choice.message.tool_calls]
    assert called == ["weather", "fahrenheit"]
    assert (choice.finish_reason, choice.message.content) == ("stop", models.Traveller.END)
    assert messages[1]["content"] == "Let me see."


@WAYS
def test_two_calls_in_one_answer(host_of, client_of, user, ask):
    client = client_of(host_of(models.both_cities))
    messages = user("Where is it warmer?")
    choice = turn(client, ask, messages)
    assert len({call.id for call in choice.message.tool_calls}) == 2
    assert turn(client, ask, messages).message.content == "18 C, cloudy / 25 C, sunny"


def test_a_call_at_most_where_calls_must_not_be_parallel(host_of, client_of, user):
    client = client_of(host_of(models.both_cities))
    request = {"messages": user("Where is it warmer?"), "tools": TOOLS}
    (call,) = whole(client, parallel_tool_calls=False, **request).message.tool_calls
    assert run(call) == "18 C, cloudy"


def test_a_stream_of_calls_is_made_of_deltas(host_of, client_of, user):
    client = client_of(host_of(models.both_cities))
    stream = client.chat.completions.create(
        model="m", messages=user("Where is it warmer?"), tools=TOOLS, stream=True
    )
    text, calls, finish = "", {}, None
    for chunk in stream:
        (choice,) = chunk.choices
        finish = choice.finish_reason or finish
        text += choice.delta.content or ""
        for delta in choice.delta.tool_calls or []:
            call = calls.setdefault(delta.index, {"arguments": ""})
            call["name"] = delta.function.name or call["name"]
            call["arguments"] += delta.function.arguments or ""
    assert (text, finish) == ("Let me see.", "tool_calls")
    assert [json.loads(calls[index]["arguments"]) for index in (0, 1)] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]


@pytest.mark.parametrize(
    ("choice", "mode", "offered"),
    [
        ("auto", "auto", ["weather", "fahrenheit"]),
        ("required", "required", ["weather", "fahrenheit"]),
        ({"type": "function", "function": {"name": "weather"}}, "required", ["weather"]),
    ],
)
def test_the_choice_of_tools(host_of, client_of, user, choice, mode, offered):
    host = host_of(models.Traveller())
    turn(client_of(host), whole, user("What shall I wear?"), tool_choice=choice)
    asked = host.asked.get_nowait()
    assert list(models.Asked.of(asked).tools) == offered
    if asked.tools:
        assert asked.toolChoice.mode == mode


def test_no_tool_is_called_where_none_may_be(host_of, client_of, user):
    host = host_of(hosts.echo)
    choice = whole(client_of(host), messages=user("Hello"), tools=TOOLS, tool_choice="none")
    assert (choice.finish_reason, choice.message.content) == ("stop", "echo: Hello")
    asked = host.asked.get_nowait()
    assert asked.toolChoice.mode == "none" if asked.tools else asked.systemPrompt is None


@WAYS
def test_a_model_that_calls_what_is_not_offered(host_of, client_of, user, ask):
    async def other(params):
        asked = models.Asked.of(params)
        asked.tools["rm"] = {}
        return asked.call(("rm", {"path": "/"}))

    host = host_of(other)
    with pytest.raises(openai.APIError, match="rm") as caught:
        ask(client_of(host), messages=user("Hello"), tools=TOOLS)
    assert caught.value.code == "answer_misformed"
    assert host.asked.qsize() == 2


@WAYS
def test_arguments_that_do_not_fit_are_asked_for_again(host_of, client_of, user, ask):
    given = [{"town": "Paris"}, {"city": "Paris"}]

    async def careless(params):
        return models.Asked.of(params).call(("weather", given.pop(0)))

    host = host_of(careless)
    choice = ask(client_of(host), messages=user("Weather?"), tools=TOOLS)
    (call,) = choice.message.tool_calls
    assert run(call) == "18 C, cloudy"
    assert host.asked.qsize() == 2


def test_arguments_are_parsed_by_the_helper_of_the_sdk(host_of, client_of, user):
    class Weather(pydantic.BaseModel):
        """Tells the weather of a city."""

        city: str

    client = client_of(host_of(models.both_cities))
    tool = openai.pydantic_function_tool(Weather, name="weather")
    answer = client.chat.completions.parse(model="m", messages=user("Weather?"), tools=[tool])
    parsed = [call.function.parsed_arguments for call in answer.choices[0].message.tool_calls]
    assert parsed == [Weather(city="Paris"), Weather(city="Rome")]


@pytest.mark.parametrize("careless", [False, True])
def test_an_answer_is_parsed_into_a_class(host_of, client_of, user, careless):
    host = host_of(models.Person(careless))
    answer = client_of(host).chat.completions.parse(
        model="m", messages=user("Who?"), response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="Ann", age=41)
    assert host.asked.qsize() == 1 + careless


def test_a_stream_is_parsed_into_a_class(host_of, client_of, user):
    host = host_of(models.Person(careless=True))
    choice = streamed(client_of(host), messages=user("Who?"), response_format=Person)
    assert choice.message.parsed == Person(name="Ann", age=41)


def test_any_json_object(host_of, client_of, user):
    client = client_of(host_of(models.Person()))
    choice = whole(client, messages=user("Who?"), response_format={"type": "json_object"})
    assert json.loads(choice.message.content) == {"name": "Ann", "age": 41}


def test_an_answer_that_never_has_the_form(host_of, client_of, user):
    client = client_of(host_of(hosts.echo))
    with pytest.raises(openai.InternalServerError, match="JSON") as caught:
        client.chat.completions.parse(model="m", messages=user("Who?"), response_format=Person)
    assert (caught.value.status_code, caught.value.code) == (502, "answer_misformed")


def test_tools_and_a_form_at_once(host_of, client_of, user):
    """The form is that of the answer, not of what comes before it."""

    async def person_by_tool(params):
        asked = models.Asked.of(params)
        if not asked.results:
            return asked.call(("weather", {"city": "Paris"}), text="")
        return '{"name": "Ann", "age": 18}'

    client = client_of(host_of(person_by_tool))
    messages = user("Who?")
    while turn(client, whole, messages, response_format={"type": "json_object"}).message.tool_calls:
        pass
    assert json.loads(messages[-1]["content"]) == {"name": "Ann", "age": 18}
