"""HTTP clients of the bridge, of Python's own library only: what is under test here is the host.
They block, so tests run them in threads.
"""

import http.client
import json
from dataclasses import dataclass, field

import anyio

import common


@dataclass
class Answer:
    """An answer, whole or streamed."""

    status: int
    headers: http.client.HTTPMessage
    text: str = ""
    calls: list[dict] = field(default_factory=list)  # {name, arguments}
    error: str = ""  # the error's code
    body: str = ""

    @property
    def way(self):
        """The way to the model that was taken."""
        return self.headers["x-mcp-backend"]


def request(address, path, body):
    """Sends a request; its open connection."""
    connection = http.client.HTTPConnection(*address, timeout=common.PATIENCE)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    return connection


def events(body):
    """The data of a stream's events, but for the end mark."""
    data = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def ask(address, path, body, read):
    """Sends a request and reads what came with `read`, which gets the Answer and the parsed body."""
    connection = request(address, path, body)
    try:
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    answer = Answer(response.status, response.headers, body=text)
    if response.status != 200:
        answer.error = json.loads(text)["error"].get("code", "")
    elif body.get("stream"):
        for event in events(text):
            read(answer, event)
    else:
        read(answer, json.loads(text))
    return answer


def read_completion(answer, part):
    """A completion, or a chunk of one."""
    for choice in part["choices"]:
        said = choice.get("message") or choice.get("delta") or {}
        answer.text += said.get("content") or ""
        for call in said.get("tool_calls") or []:
            function = call["function"]
            answer.calls.append(
                {"name": function["name"], "arguments": json.loads(function["arguments"])}
            )


def read_message(answer, part):
    """A message, or an event of one."""
    for block in part.get("content", []):
        answer.text += block.get("text", "")
    if part["type"] == "content_block_delta":
        answer.text += part["delta"].get("text", "")


async def in_thread(function, *arguments):
    return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)


def user(content):
    return [{"role": "user", "content": content}]


async def complete(address, messages, **options):
    """OpenAI's dialect; `messages` or the text of one."""
    messages = user(messages) if isinstance(messages, str) else messages
    body = {"model": "m", "messages": messages} | options
    return await in_thread(ask, address, "/v1/chat/completions", body, read_completion)


async def message(address, text, **options):
    """Anthropic's dialect."""
    body = {"model": "m", "max_tokens": 100, "messages": user(text)} | options
    return await in_thread(ask, address, "/v1/messages", body, read_message)


async def until(holds):
    """Asks again and again, for as long as patience lasts."""
    with anyio.fail_after(common.PATIENCE):
        while not await holds():
            await anyio.lowlevel.checkpoint()


async def several(address, texts):
    """Asks all at once, every other one streamed, in both dialects; what each was answered."""
    answers = {}

    async def one(number, text):
        asks = complete if number % 4 < 2 else message
        answers[text] = await asks(address, text, stream=number % 2 == 1)

    async with anyio.create_task_group() as group:
        for number, text in enumerate(texts):
            group.start_soon(one, number, text)
    return answers
