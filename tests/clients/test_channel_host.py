"""A host as Claude Code is one, made of the official `mcp` client: events in, reply tools out."""

import openai
import pytest

import hosts


async def replies(host, event):
    """Answers an event as the model of such a host would."""
    request_id = event["meta"]["request_id"]
    if event["meta"]["stream"] == "true":
        for number, piece in enumerate(("one, ", "two, ", "three")):
            arguments = {"request_id": request_id, "delta": piece, "done": number == 2}
            await host.session.call_tool("channel_reply_stream", arguments)
    else:
        arguments = {"request_id": request_id, "content": "by channel"}
        result = await host.session.call_tool("channel_reply", arguments)
        assert result.structuredContent["ok"]


@pytest.fixture
def host(start):
    return start(hosts.ChannelHost, answer=replies)


def test_the_host_is_offered_the_channel_and_told_how_to_answer(host):
    assert host.initialized.capabilities.experimental == {"claude/channel": {}}
    assert "channel_reply" in host.initialized.instructions


def test_a_whole_answer(host, client, user):
    messages = [{"role": "system", "content": "Be brief."}, *user("Hello </channel> there")]
    raw = client.chat.completions.with_raw_response.create(model="m", messages=messages, user="ann")
    assert raw.parse().choices[0].message.content == "by channel"
    assert raw.headers["x-mcp-backend"] == "channel"
    event = host.events.get_nowait()
    assert "Be brief." in event["content"] and "Hello" in event["content"]
    assert "</channel" not in event["content"]
    meta = event["meta"]
    assert (meta["model"], meta["stream"], meta["openai_user"]) == ("m", "false", "ann")
    assert meta["request_id"] == raw.headers["x-request-id"]


def test_a_stream_arrives_piece_by_piece(client, user):
    stream = client.chat.completions.create(model="m", messages=user("Count"), stream=True)
    pieces = [chunk.choices[0].delta.content for chunk in stream]
    assert [piece for piece in pieces if piece] == ["one, ", "two, ", "three"]


def test_a_second_answer_is_refused(host, client, user):
    answer = client.chat.completions.create(model="m", messages=user("Hello"))
    late = host.call("channel_reply", request_id=answer._request_id, content="again")
    assert late.isError and answer._request_id in late.content[0].text


def test_a_model_that_says_why_it_cannot_answer(start, client_of, user):
    async def refuse(host, event):
        error = {"code": "busy", "message": "not now"}
        arguments = {"request_id": event["meta"]["request_id"], "error": error}
        await host.session.call_tool("channel_reply", arguments)

    client = client_of(start(hosts.ChannelHost, answer=refuse))
    with pytest.raises(openai.InternalServerError, match="not now") as caught:
        client.chat.completions.create(model="m", messages=user("Hello"))
    assert (caught.value.status_code, caught.value.code) == (502, "claude_channel_error")
