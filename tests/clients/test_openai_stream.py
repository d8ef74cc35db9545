"""The official `openai` client, blocking, streaming."""

import asyncio

import openai
import pytest

import hosts


def collect(stream):
    """The text of the first choice, its reason to end, and the usage."""
    text, finish, usage = "", None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


def test_a_stream_is_whole(client, user):
    stream = client.chat.completions.create(model="m", messages=user("Hello"), stream=True)
    assert collect(stream) == ("echo: Hello", "stop", None)


def test_a_stream_ends_with_its_usage_where_that_is_asked_for(client, user):
    stream = client.chat.completions.create(
        model="m", messages=user("Hello"), stream=True, stream_options={"include_usage": True}
    )
    text, finish, usage = collect(stream)
    assert (text, finish) == ("echo: Hello", "stop")
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


def test_the_helper_of_the_sdk_puts_a_stream_together(client, user):
    with client.chat.completions.stream(model="m", messages=user("Hello")) as stream:
        kinds = [event.type for event in stream]
        whole = stream.get_final_completion()
    assert "content.delta" in kinds
    assert "content.done" in kinds
    assert whole.choices[0].message.content == "echo: Hello"


def test_a_stream_has_its_headers(client, user):
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=user("Hello"), stream=True
    )
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["x-mcp-backend"] == "sampling"
    chunks = list(raw.parse())
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{raw.headers['x-request-id']}"}
    assert chunks[0].choices[0].delta.role == "assistant"


def test_streams_of_several_choices_stay_apart(client, user):
    stream = client.chat.completions.create(model="m", messages=user("Hello"), stream=True, n=3)
    texts = ["", "", ""]
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == ["echo: Hello"] * 3


def test_one_connection_serves_many_answers_of_both_kinds(client, user):
    for turn in range(20):
        text = f"Hello {turn}"
        if turn % 2:
            stream = client.chat.completions.create(model="m", messages=user(text), stream=True)
            said = collect(stream)[0]
        else:
            answer = client.chat.completions.create(model="m", messages=user(text))
            said = answer.choices[0].message.content
        assert said == f"echo: {text}"


def test_a_client_that_leaves_a_stream_ends_the_hosts_work(start, client_of, user):
    async def never(params):
        await asyncio.Event().wait()

    host = start(hosts.ConcurrentHost, model=never)
    client = client_of(host)
    stream = client.chat.completions.create(model="m", messages=user("Hello"), stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    assert host.waiting() == 1
    stream.close()
    host.cancelled.get(timeout=hosts.PATIENCE)
    assert host.waiting() == 0


def test_a_failure_within_a_stream_is_raised_with_its_words(start, client_of, user):
    async def never(params):
        await asyncio.Event().wait()

    host = start(hosts.ConcurrentHost, model=never, env={"MODELTAP_TIMEOUT": "300ms"})
    client = client_of(host)
    stream = client.chat.completions.create(model="m", messages=user("Hello"), stream=True)
    with pytest.raises(openai.APIError, match="no answer within 300ms") as caught:
        collect(stream)
    assert caught.value.code == "host_timeout"
    host.cancelled.get(timeout=hosts.PATIENCE)
