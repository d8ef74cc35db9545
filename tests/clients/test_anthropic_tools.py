"""The official `anthropic` client: tools and structured output, on a host that takes tools in
sampling and on one that knows only text.
"""

import anthropic
import pydantic
import pytest

import hosts
import models

TOOLS = [
    {"name": name, "description": function.__doc__, "input_schema": models.SCHEMAS[name]}
    for name, function in models.RUN.items()
]


class Person(pydantic.BaseModel):
    name: str
    age: int


def whole(client, **request):
    return client.messages.create(model="claude-x", max_tokens=99, **request)


def streamed(client, **request):
    with client.messages.stream(model="claude-x", max_tokens=99, **request) as stream:
        return stream.get_final_message()


WAYS = pytest.mark.parametrize("ask", [whole, streamed])


def turn(client, ask, messages, **more):
    """Asks, runs what is called, and adds both to the conversation."""
    message = ask(client, messages=messages, tools=TOOLS, **more)
    messages.append({"role": "assistant", "content": message.content})
    results = [
        {"type": "tool_result", "tool_use_id": use.id, "content": models.RUN[use.name](**use.input)}
        for use in message.content
        if use.type == "tool_use"
    ]
    if results:
        messages.append({"role": "user", "content": results})
    return message


def uses_of(message):
    return [(block.name, block.input) for block in message.content if block.type == "tool_use"]


@WAYS
def test_an_agent_that_calls_one_tool_after_the_other(host_of, anthropic_of, user, ask):
    client = anthropic_of(host_of(models.Traveller()))
    messages = user("What shall I wear in Paris?")
    called = []
    while (message := turn(client, ask, messages)).stop_reason == "tool_use":
        called += uses_of(message)
    assert called == [("weather", {"city": "Paris"}), ("fahrenheit", {"celsius": 18})]
    assert message.stop_reason == "end_turn"
    assert [block.text for block in message.content] == [models.Traveller.END]
    assert messages[1]["content"][0].text == "Let me see."


@pytest.mark.parametrize("stream", [False, True])
def test_the_runner_of_the_sdk(host_of, anthropic_of, user, stream):
    tools = [anthropic.beta_tool(function) for function in models.RUN.values()]
    runner = anthropic_of(host_of(models.Traveller())).beta.messages.tool_runner(
        model="claude-x",
        max_tokens=99,
        messages=user("What shall I wear in Paris?"),
        tools=tools,
        stream=stream,
    )
    message = runner.until_done()
    assert [block.text for block in message.content] == [models.Traveller.END]


def test_a_thread_goes_on_though_the_bridge_keeps_none(host_of, anthropic_of, user):
    host = host_of(hosts.echo)
    thread = anthropic_of(host).beta.messages.thread(model="claude-x", max_tokens=99)
    for said in ("one", "two"):
        assert thread.send(*user(said)).content[0].text == f"echo: {said}"


@WAYS
def test_two_calls_in_one_answer(host_of, anthropic_of, user, ask):
    client = anthropic_of(host_of(models.both_cities))
    messages = user("Where is it warmer?")
    message = turn(client, ask, messages)
    assert message.content[0].text == "Let me see."
    assert len({block.id for block in message.content[1:]}) == 2
    assert turn(client, ask, messages).content[0].text == "18 C, cloudy / 25 C, sunny"


def test_a_call_at_most_where_calls_must_not_be_parallel(host_of, anthropic_of, user):
    client = anthropic_of(host_of(models.both_cities))
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = whole(client, messages=user("Where?"), tools=TOOLS, tool_choice=choice)
    assert uses_of(message) == [("weather", {"city": "Paris"})]


def test_a_tool_that_fails(host_of, anthropic_of, user):
    client = anthropic_of(host_of(models.told_results))
    messages = user("Weather?")
    message = whole(client, messages=messages, tools=TOOLS)
    use = message.content[-1]
    said = [{"type": "text", "text": "there is"}, {"type": "text", "text": "no such city"}]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": said, "is_error": True}
    messages += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
    ]
    (block,) = whole(client, messages=messages, tools=TOOLS).content
    assert block.text.startswith("failed: there is") and "no such city" in block.text


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        ({"type": "auto"}, ["weather", "fahrenheit"]),
        ({"type": "any"}, ["weather", "fahrenheit"]),
        ({"type": "tool", "name": "weather"}, ["weather"]),
    ],
)
def test_the_choice_of_tools(host_of, anthropic_of, user, choice, offered):
    host = host_of(models.Traveller())
    message = whole(anthropic_of(host), messages=user("?"), tools=TOOLS, tool_choice=choice)
    assert uses_of(message) == [("weather", {"city": "Paris"})]
    asked = host.asked.get_nowait()
    assert list(models.Asked.of(asked).tools) == offered
    if asked.tools:
        assert asked.toolChoice.mode == ("auto" if choice["type"] == "auto" else "required")


def test_no_tool_is_called_where_none_may_be(host_of, anthropic_of, user):
    client = anthropic_of(host_of(hosts.echo))
    message = whole(client, messages=user("Hello"), tools=TOOLS, tool_choice={"type": "none"})
    assert [block.text for block in message.content] == ["echo: Hello"]


def test_a_model_that_calls_no_tool_and_must(host_of, anthropic_of, user):
    host = host_of(hosts.echo)
    with pytest.raises(anthropic.InternalServerError, match="must") as caught:
        whole(anthropic_of(host), messages=user("?"), tools=TOOLS, tool_choice={"type": "any"})
    assert (caught.value.status_code, caught.value.type) == (502, "api_error")
    assert host.asked.qsize() == 2


@pytest.mark.parametrize("careless", [False, True])
def test_an_answer_is_parsed_into_a_class(host_of, anthropic_of, user, careless):
    host = host_of(models.Person(careless))
    request = {"model": "claude-x", "max_tokens": 99, "messages": user("Who?")}
    message = anthropic_of(host).messages.parse(output_format=Person, **request)
    assert message.parsed_output == Person(name="Ann", age=41)
    assert host.asked.qsize() == 1 + careless


def test_a_stream_is_parsed_into_a_class(host_of, anthropic_of, user):
    host = host_of(models.Person(careless=True))
    message = streamed(anthropic_of(host), messages=user("Who?"), output_format=Person)
    assert message.parsed_output == Person(name="Ann", age=41)


def test_an_answer_that_never_has_the_form(host_of, anthropic_of, user):
    client = anthropic_of(host_of(hosts.echo))
    request = {"model": "claude-x", "max_tokens": 99, "messages": user("Who?")}
    with pytest.raises(anthropic.InternalServerError, match="JSON") as caught:
        client.messages.parse(output_format=Person, **request)
    assert (caught.value.status_code, caught.value.type) == (502, "api_error")
