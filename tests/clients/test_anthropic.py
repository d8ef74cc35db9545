"""The official `anthropic` client, blocking: messages whole and streamed, counts, models, errors."""

import asyncio

import anthropic
import pytest
from mcp import types

import hosts

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def claude(host, anthropic_of):
    """An Anthropic client of a bridge whose model echoes."""
    return anthropic_of(host)


# What the official client has no arguments for any more; its users write it like this.
OLD = ("temperature", "top_p", "top_k")


def ask(client, messages, **more):
    request = {"model": "claude-x", "max_tokens": 99, "messages": messages} | more
    old = {name: request.pop(name) for name in OLD if name in request}
    return client.messages.create(**request, extra_body=old)


async def never(params):
    await asyncio.Event().wait()


def test_a_whole_message(claude, host, user):
    message = ask(claude, user("Hello"))
    assert (message.type, message.role, message.model) == ("message", "assistant", "claude-x")
    (block,) = message.content
    assert (block.type, block.text) == ("text", "echo: Hello")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    assert message._request_id == message.id.removeprefix("msg_")
    asked = host.asked.get_nowait()
    assert asked.modelPreferences.hints[0].name == "claude-x"
    assert asked.maxTokens == 99


def test_what_is_asked_reaches_the_host(claude, host):
    picture = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    notes = {"type": "text", "media_type": "text/plain", "data": "It purrs."}
    ask(
        claude,
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": picture, "cache_control": {"type": "ephemeral"}},
                    {"type": "document", "title": "Notes", "source": notes},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "SECRET", "signature": "s"},
                    {"type": "redacted_thinking", "data": "SECRET"},
                    {"type": "text", "text": "A cat?"},
                ],
            },
            {"role": "user", "content": "Yes."},
        ],
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        temperature=0.25,
        top_p=0.5,
        top_k=3,
        stop_sequences=["END"],
        metadata={"user_id": "ann"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        extra_headers={"anthropic-beta": "anything-2026-01-01"},
    )
    asked = host.asked.get_nowait()
    assert asked.systemPrompt == "Be brief."
    image, *rest = asked.messages
    assert (image.content.mimeType, image.content.data) == ("image/png", PIXEL)
    assert [(m.role, m.content.text) for m in rest] == [
        ("user", "Notes\nIt purrs."),
        ("assistant", "A cat?"),
        ("user", "Yes."),
    ]
    assert (asked.temperature, asked.stopSequences) == (0.25, ["END"])
    assert asked.metadata == {"top_p": 0.5, "top_k": 3, "user": "ann"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("endTurn", "end_turn"),
        ("maxTokens", "max_tokens"),
        ("stopSequence", "stop_sequence"),
        ("something else", "end_turn"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_stop_reason(start, anthropic_of, user, said, reason, stream):
    async def stopped(params):
        content = types.TextContent(type="text", text="cut")
        return types.CreateMessageResult(
            role="assistant", content=content, model="scripted-model", stopReason=said
        )

    client = anthropic_of(start(hosts.ConcurrentHost, model=stopped))
    request = {"model": "m", "max_tokens": 9, "messages": user("x"), "stop_sequences": ["END"]}
    if stream:
        with client.messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**request)
    assert message.stop_reason == reason
    assert message.stop_sequence == ("END" if reason == "stop_sequence" else None)


def test_the_helper_of_the_sdk_puts_a_stream_together(claude, user):
    text = 'Grüße, 你好, 🦀, "quoted", \\ back, \r\n\t end, \u2028, \x00, event: x\ndata: [DONE]\n\n' * 200
    request = {"model": "claude-x", "max_tokens": 99, "messages": user(text)}
    with claude.messages.stream(**request) as stream:
        said = "".join(stream.text_stream)
        message = stream.get_final_message()
        request_id = stream.request_id
    assert said == message.content[0].text == f"echo: {text}"
    assert (message.stop_reason, message.id) == ("end_turn", f"msg_{request_id}")
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0


def test_the_events_of_a_stream(claude, user):
    kinds = [event.type for event in ask(claude, user("Hello"), stream=True)]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_many_at_once_by_the_asynchronous_client(host):
    async def scenario():
        options = {"api_key": "unused", "max_retries": 0, "timeout": hosts.PATIENCE}
        async with anthropic.AsyncAnthropic(base_url=root, **options) as client:

            async def one(number):
                messages = [{"role": "user", "content": f"question {number}"}]
                request = {"model": "m", "max_tokens": 9, "messages": messages}
                if number % 2:
                    return (await client.messages.create(**request)).content[0].text
                async with client.messages.stream(**request) as stream:
                    return "".join([piece async for piece in stream.text_stream])

            return await asyncio.gather(*map(one, range(30)))

    root = host.root
    assert asyncio.run(scenario()) == [f"echo: question {number}" for number in range(30)]
    assert host.waiting() == 0


def test_tokens_are_counted(claude, host, user):
    def count(**request):
        request = {"model": "claude-x", "messages": user("Hello")} | request
        return claude.messages.count_tokens(**request).input_tokens

    bare = count()
    picture = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "text", "text": "Hello"}, {"type": "image", "source": picture}]
    tool = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object"}}
    assert 0 < bare < count(system="You are a helpful assistant, and brief.")
    assert bare < count(tools=[tool])
    assert bare < count(messages=[{"role": "user", "content": content}])
    assert ask(claude, user("Hello")).usage.input_tokens == bare
    assert host.asked.qsize() == 1


def test_models_are_listed_page_by_page(start, anthropic_of):
    host = start(hosts.ConcurrentHost, env={"MODELTAP_MODELS": "claude-a,claude-b,claude-c"})
    client = anthropic_of(host)
    for limit in (1, 2, 1000):
        listed = list(client.models.list(limit=limit))
        assert [model.id for model in listed] == ["claude-a", "claude-b", "claude-c"]
    assert listed[0].type == "model"
    assert listed[0].display_name == "claude-a"
    assert listed[0].created_at.year >= 2024
    assert client.models.retrieve("claude-b").id == "claude-b"
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("no/such model")
    assert caught.value.type == "not_found_error"


def test_a_client_that_leaves_a_stream_ends_the_hosts_work(start, anthropic_of, user):
    host = start(hosts.ConcurrentHost, model=never)
    stream = ask(anthropic_of(host), user("Hello"), stream=True)
    assert next(stream).type == "message_start"
    stream.close()
    host.cancelled.get(timeout=hosts.PATIENCE)
    assert host.waiting() == 0


def test_keys_in_either_header(start, anthropic_of, user):
    host = start(hosts.ConcurrentHost, env={"MODELTAP_API_KEY": "right"})
    for key in ({"api_key": "wrong"}, {"auth_token": "wrong"}):
        client = anthropic_of(host, **key)
        for request in (
            lambda: ask(client, user("Hello")),
            lambda: client.messages.count_tokens(model="m", messages=user("Hello")),
            lambda: client.models.list(),
        ):
            with pytest.raises(anthropic.AuthenticationError) as caught:
                request()
            assert caught.value.type == "authentication_error"
            assert caught.value.request_id
    for key in ({"api_key": "right"}, {"auth_token": "right"}):
        assert ask(anthropic_of(host, **key), user("Hello")).content
        assert anthropic_of(host, **key).models.list().data


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("max_tokens", 0, "max_tokens"),
        ("temperature", 1.5, "temperature"),
        ("messages", [], "messages"),
        ("messages", [{"role": "robot", "content": "x"}], "messages.0.role"),
        ("messages", [{"role": "user", "content": [{"type": "audio"}]}], "messages.0.content.0"),
        ("tools", [{"name": "f"}], "tools.0.input_schema"),
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}], "tools.0"),
        ("tool_choice", {"type": "tool", "name": "f"}, "tool_choice"),
        ("output_config", {"format": {"type": "json_schema"}}, "output_config.format.schema"),
    ],
)
def test_a_wrong_field_is_named(claude, user, field, value, path):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(claude, **{"messages": user("Hello"), field: value})
    assert caught.value.type == "invalid_request_error"
    assert caught.value.api_message.startswith(f"{path}: ")
    assert caught.value.request_id


def test_a_path_that_is_not_served(claude):
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.batches.list()
    assert caught.value.type == "not_found_error"


def test_a_prompt_that_is_too_long(start, anthropic_of, user):
    async def full(params):
        return types.ErrorData(code=-32603, message="context window exceeded")

    client = anthropic_of(start(hosts.ConcurrentHost, model=full))
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long") as caught:
        ask(client, user("Hello"))
    assert "capability_rejected: prompt_too_long" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        (-1, anthropic.PermissionDeniedError, "permission_error"),
        (-32000, anthropic.PermissionDeniedError, "permission_error"),
        (-32603, anthropic.InternalServerError, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_host_that_refuses(start, anthropic_of, user, code, error, kind, stream):
    async def refuse(params):
        return types.ErrorData(code=code, message="the user said no")

    client = anthropic_of(start(hosts.ConcurrentHost, model=refuse))
    with pytest.raises(anthropic.APIStatusError, match="the user said no") as caught:
        answer = ask(client, user("Hello"), stream=stream)
        list(answer)
    assert caught.value.type == kind
    # Where the head of a stream had left before, its status is what it was.
    assert isinstance(caught.value, error) or stream and caught.value.status_code == 200


def test_a_model_that_does_not_answer_in_time(start, anthropic_of, user):
    """Nor does the SDK ask again by itself, for whom it would be no better."""
    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    with pytest.raises(anthropic.GatewayTimeoutError, match="no answer within 300ms") as caught:
        ask(anthropic_of(host, max_retries=2), user("Hello"))
    assert caught.value.type == "timeout_error"
    assert host.asked.qsize() == 1
    with pytest.raises(anthropic.APIStatusError, match="no answer within 300ms") as caught:
        list(ask(anthropic_of(host), user("Hello"), stream=True))
    assert caught.value.type == "timeout_error"


def test_a_client_that_does_not_wait_that_long(start, anthropic_of, user):
    host = start(hosts.ConcurrentHost, model=never)
    with pytest.raises(anthropic.APITimeoutError):
        ask(anthropic_of(host, timeout=0.3), user("Hello"))
    host.cancelled.get(timeout=hosts.PATIENCE)


def test_a_host_without_a_model(start, anthropic_of, user):
    client = anthropic_of(start(hosts.MuteHost), max_retries=2)
    for stream in (False, True):
        with pytest.raises(anthropic.ServiceUnavailableError, match="sampling") as caught:
            ask(client, user("Hello"), stream=stream)
        assert caught.value.type == "overloaded_error"


def test_a_body_over_the_limit(start, anthropic_of, user):
    client = anthropic_of(start(hosts.ConcurrentHost, env={"MODELTAP_MAX_BODY": "100000"}))
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        ask(client, user("x" * 8_000_000))
    assert caught.value.type == "request_too_large"


def test_a_silent_stream_is_kept_open(start, anthropic_of, user):
    async def slow(params):
        await asyncio.sleep(0.5)
        return "at last"

    host = start(hosts.ConcurrentHost, model=slow, env={"MODELTAP_KEEP_ALIVE": "100ms"})
    client = anthropic_of(host, timeout=0.3)  # between two pieces
    with client.messages.stream(model="m", max_tokens=9, messages=user("Hello")) as stream:
        assert stream.get_final_text() == "at last"
