"""The official `openai` client's error classes, which programs catch by name."""

import asyncio

import openai
import pytest
from mcp import types

import hosts


async def never(params):
    await asyncio.Event().wait()


def ask(client, user, **more):
    return client.chat.completions.create(model="m", messages=user("Hello"), **more)


def test_a_wrong_key(start, client_of, user):
    host = start(hosts.ConcurrentHost, env={"MODELTAP_API_KEY": "right"})
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client_of(host, api_key="wrong"), user)
    assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
    assert "right" not in str(caught.value)
    with pytest.raises(openai.AuthenticationError):
        client_of(host, api_key="wrong").models.list()
    assert ask(client_of(host, api_key="right"), user).choices


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("temperature", 3, "temperature"),
        ("n", 99, "n"),
        ("stop", ["1", "2", "3", "4", "5"], "stop"),
        ("max_tokens", "many", "max_tokens"),
        ("messages", [], "messages"),
        ("messages", [{"role": "robot", "content": "x"}], "messages[0].role"),
        ("messages", [{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0]"),
        ("tools", [{"type": "web_search"}], "tools[0]"),
        ("tools", [{"type": "function", "function": {"name": ""}}], "tools[0]"),
    ],
)
def test_a_wrong_field_is_named(client, user, field, value, param):
    body = {"model": "m", "messages": user("Hello"), field: value}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**body)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


def test_a_path_that_is_not_served(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="m", input="Hello")
    assert caught.value.code == "not_found"


def test_a_model_that_does_not_answer_in_time(start, client_of, user):
    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client_of(host), user)
    assert (caught.value.status_code, caught.value.code) == (504, "host_timeout")
    assert caught.value.type == "timeout_error"
    host.cancelled.get(timeout=hosts.PATIENCE)


def test_a_client_that_does_not_wait_that_long(start, client_of, user):
    host = start(hosts.ConcurrentHost, model=never)
    with pytest.raises(openai.APITimeoutError):
        ask(client_of(host, timeout=0.3), user)
    host.cancelled.get(timeout=hosts.PATIENCE)


def test_a_host_without_a_model(start, client_of, user):
    client = client_of(start(hosts.MuteHost))
    for more in ({}, {"stream": True}):
        with pytest.raises(openai.InternalServerError, match="sampling") as caught:
            ask(client, user, **more)
        assert (caught.value.status_code, caught.value.code) == (503, "no_model")


def test_the_sdk_does_not_repeat_what_a_repetition_cannot_mend(start, client_of, user):
    """By itself it sends all that ends in 5xx three times, whatever that costs."""
    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    with pytest.raises(openai.InternalServerError, match="no answer within"):
        ask(client_of(host, max_retries=2), user)
    assert host.asked.qsize() == 1
    mute = start(hosts.MuteHost)
    with pytest.raises(openai.InternalServerError, match="sampling"):
        ask(client_of(mute, max_retries=2), user)
    events = mute.call("channel_debug_events", kind="request").structuredContent
    assert events["count"] == 1


@pytest.mark.parametrize(
    ("code", "error", "status"),
    [
        (-1, openai.PermissionDeniedError, 403),
        (-32000, openai.PermissionDeniedError, 403),
        (-32603, openai.InternalServerError, 502),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_host_that_refuses(start, client_of, user, code, error, status, stream):
    async def refuse(params):
        return types.ErrorData(code=code, message="the user said no")

    client = client_of(start(hosts.ConcurrentHost, model=refuse))
    try:
        answer = ask(client, user, stream=stream)
        if stream:
            list(answer)
    except openai.APIStatusError as refused:
        assert (type(refused), refused.status_code) == (error, status)
        assert "the user said no" in refused.message
    except openai.APIError as refused:
        # The head of the stream had left before the host refused.
        assert stream and "the user said no" in refused.message
    else:
        pytest.fail("nothing was raised")


def test_a_message_over_the_limit_is_refused_and_not_cut(start, client_of, user):
    client = client_of(start(hosts.ConcurrentHost, env={"MODELTAP_MAX_MESSAGE_CHARS": "100"}))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=user("x" * 101))
    assert caught.value.param == "messages[0].content"


def test_a_body_over_the_limit(start, client_of, user):
    client = client_of(start(hosts.ConcurrentHost, env={"MODELTAP_MAX_BODY": "100000"}))
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=user("x" * 8_000_000))
    assert caught.value.status_code == 413
