"""The official `mcp` client as the host, used as its documentation shows."""

import asyncio
import concurrent.futures
import contextlib
import time

import openai
import pytest
from mcp import McpError, types

import hosts

TOOLS = {
    "http_server_start",
    "http_server_stop",
    "http_server_status",
    "runtime_status",
    "channel_debug_events",
    "channel_reply",
    "channel_reply_stream",
    "channel_publish",
    "next_request",
    "hook",
}


def wait_until(holds):
    """Asks again and again, for as long as patience lasts."""
    deadline = time.monotonic() + hosts.PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"


@pytest.fixture
def plain(start):
    """The stock session, with nothing of ours in it but the callback."""
    return start(hosts.Host)


def test_the_handshake(plain):
    result = plain.initialized
    assert result.protocolVersion == types.LATEST_PROTOCOL_VERSION
    assert result.serverInfo.name == "modeltap"
    assert result.capabilities.tools
    assert len(result.instructions.encode()) < 2048
    plain.begin(plain.session.send_ping()).result(hosts.PATIENCE)


def test_the_tools_are_listed(plain):
    tools = plain.begin(plain.session.list_tools()).result(hosts.PATIENCE).tools
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.description and len(tool.description.encode()) < 2048
        assert tool.inputSchema["type"] == "object"
        assert tool.annotations.title


def test_the_tools_answer(plain):
    status = plain.call("runtime_status").structuredContent
    assert status["mcp"]["client"]["name"] == "python-host"
    assert status["backend"] == {"ready": True, "in_use": "sampling"}
    wrong = plain.call("channel_reply", request_id=7)
    assert wrong.isError and "request_id" in wrong.content[0].text
    with pytest.raises(McpError) as caught:
        plain.call("no_such_tool")
    assert caught.value.error.code == types.INVALID_PARAMS


def test_what_a_client_asks_is_answered_by_the_callback(plain, client_of, user):
    answer = client_of(plain).chat.completions.create(model="m", messages=user("Hello"))
    assert answer.choices[0].message.content == "echo: Hello"

    def noted():
        filters = {"request_id": answer._request_id}
        events = plain.call("channel_debug_events", **filters).structuredContent["events"]
        return {event["kind"] for event in events}

    # What follows the answer may be noted a moment after its client has it.
    wait_until(lambda: noted() == {"request", "publish", "reply", "response"})


def test_a_callback_may_give_any_stop_reason(start, client_of, user):
    async def stopped(params):
        return types.CreateMessageResult(
            role="assistant",
            content=types.TextContent(type="text", text="cut"),
            model="scripted-model",
            stopReason=hosts.text_of(params.messages[-1]) or None,
        )

    client = client_of(start(hosts.Host, model=stopped))
    for said, finish in [
        ("maxTokens", "length"),
        ("stopSequence", "stop"),
        ("endTurn", "stop"),
        ("something else", "stop"),
        ("", "stop"),
    ]:
        answer = client.chat.completions.create(model="m", messages=user(said))
        assert answer.choices[0].finish_reason == finish, said


def test_the_hook_stays_open_with_progress_while_chats_are_made(host, client, user):
    progress = []

    async def noted(done, total, message):
        progress.append(done)

    call = host.begin(host.session.call_tool("hook", {}, progress_callback=noted))
    # Answers come in order, so the call before this one has been read.
    status = host.call("runtime_status").structuredContent
    assert status["mcp"]["open_hooks"] == 1
    for text in ("one", "two"):
        answer = client.chat.completions.create(model="m", messages=user(text))
        assert answer.choices[0].message.content == f"echo: {text}"
    assert not call.done()
    call.cancel()


def test_the_hook_warms_up_tells_progress_and_ends_when_it_is_cancelled(start, client_of, user):
    heard = asyncio.Queue()

    async def noted(done, total, message):
        await heard.put((done, message))

    host = start(hosts.ConcurrentHost, env={"MODELTAP_WARMUP": "1"})

    async def hooked():
        # The library gives requests the numbers 0, 1, 2 …; this one's is needed to cancel it.
        number = host.session._request_id
        call = asyncio.create_task(host.session.call_tool("hook", {}, progress_callback=noted))
        first = await asyncio.wait_for(heard.get(), hosts.PATIENCE)
        return number, call, first

    number, call, first = host.begin(hooked()).result(hosts.PATIENCE)
    assert first == (1, "warming up")
    assert host.asked.get(timeout=hosts.PATIENCE).maxTokens == 1
    wait_until(lambda: host.call("runtime_status").structuredContent["backend"]["ready"])
    assert client_of(host).chat.completions.create(model="m", messages=user("Hello")).choices

    async def unhooked():
        params = types.CancelledNotificationParams(requestId=number, reason="enough")
        note = types.CancelledNotification(params=params)
        await host.session.send_notification(types.ClientNotification(note))
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call

    host.begin(unhooked()).result(hosts.PATIENCE)
    assert host.call("runtime_status").structuredContent["mcp"]["open_hooks"] == 0


def test_the_server_is_stopped_and_started_by_tools(plain, client_of, user):
    before = plain.call("http_server_status").structuredContent
    assert before["running"] and before["listen_url"]
    stopped = plain.call("http_server_stop").structuredContent
    assert not stopped["running"]
    again = plain.call("http_server_start", port=before["port"]).structuredContent
    assert again["listen_url"] == before["listen_url"]
    answer = client_of(plain).chat.completions.create(model="m", messages=user("Hello"))
    assert answer.choices[0].message.content == "echo: Hello"


@pytest.mark.parametrize("stream", [False, True])
def test_a_host_that_ends_has_its_clients_told(start, client_of, user, stream):
    async def never(params):
        await asyncio.Event().wait()

    host = start(hosts.ConcurrentHost, model=never)
    client = client_of(host)

    def ask():
        answer = client.chat.completions.create(model="m", messages=user("Hello"), stream=stream)
        return list(answer)

    with concurrent.futures.ThreadPoolExecutor() as aside:
        asking = aside.submit(ask)
        host.asked.get(timeout=hosts.PATIENCE)
        host.leave()
        with pytest.raises(openai.APIError, match="gone"):
            asking.result(hosts.PATIENCE)
