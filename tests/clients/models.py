"""Scripted models for programs that use tools, or want answers of a certain form. They look at what
the host was asked, and nothing else: where the host takes tools, at its tools and blocks; where it
knows only text, at the words that the bridge put in their place.
"""

import dataclasses
import json
import re

from mcp import types

import hosts

# The form in which calls are written where the host knows only text.
CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
RESULT = re.compile(r"^Result of the tool call (\S+?)( \(it failed\))?:\n", re.MULTILINE)


def blocks_of(message):
    """The content blocks of a message, as a list."""
    return message.content if isinstance(message.content, list) else [message.content]


@dataclasses.dataclass
class Asked:
    """A request as a model sees it, on either kind of host."""

    native: bool
    # Name and schema of each tool on offer.
    tools: dict
    # What the model has called so far, as name and arguments.
    calls: list
    # What came of it: the id of the call, the text, whether it failed.
    results: list

    @classmethod
    def of(cls, params):
        if params.tools:
            return cls._of_blocks(params)
        return cls._of_words(params)

    @classmethod
    def _of_blocks(cls, params):
        tools = {tool.name: tool.inputSchema for tool in params.tools}
        calls, results = [], []
        for message in params.messages:
            for block in blocks_of(message):
                if block.type == "tool_use":
                    calls.append((block.name, block.input))
                elif block.type == "tool_result":
                    text = "".join(part.text for part in block.content)
                    results.append((block.toolUseId, text, bool(block.isError)))
        return cls(True, tools, calls, results)

    @classmethod
    def _of_words(cls, params):
        tools, calls, results = {}, [], []
        for line in (params.systemPrompt or "").splitlines():
            if line.startswith('{"name":'):
                tool = json.loads(line)
                tools[tool["name"]] = tool["parameters"]
        for message in params.messages:
            text = hosts.text_of(message)
            if message.role == "assistant":
                written = [json.loads(call) for call in CALL.findall(text)]
                calls += [(call["name"], call["arguments"]) for call in written]
            else:
                # What stands before the first is no result.
                pieces = iter(RESULT.split(text)[1:])
                for name, failed, said in zip(pieces, pieces, pieces):
                    results.append((name, said.strip(), bool(failed)))
        return cls(False, tools, calls, results)

    def call(self, *calls, text="Let me see."):
        """An answer that calls tools, in the form that this host knows."""
        unknown = {name for name, _ in calls} - set(self.tools)
        assert not unknown, f"{unknown} are not on offer, only {set(self.tools)}"
        if not self.native:
            written = [json.dumps({"name": name, "arguments": given}) for name, given in calls]
            return "\n".join([text, *(f"<tool_call>{call}</tool_call>" for call in written)])
        first = len(self.calls)
        content = [types.TextContent(type="text", text=text)] if text else []
        for number, (name, given) in enumerate(calls, first):
            use = {"type": "tool_use", "id": f"use_{number}", "name": name, "input": given}
            content.append(types.ToolUseContent(**use))
        return types.CreateMessageResultWithTools(
            role="assistant", content=content, model="scripted-model", stopReason="toolUse"
        )


class Traveller:
    """Says what one wears in Paris: asks for the weather, and with what that says for its warmth in
    Fahrenheit. A loop that loses a result, or mixes up calls, does not come to this end.
    """

    END = "In Paris it is 64 F: take a light coat."

    async def __call__(self, params):
        asked = Asked.of(params)
        assert len(asked.calls) == len(asked.results), "a call is without its result"
        assert len({name for name, _, _ in asked.results}) == len(asked.results)
        texts = [text for _, text, _ in asked.results]
        if not texts:
            return asked.call(("weather", {"city": "Paris"}))
        if len(texts) == 1:
            celsius = int(re.search(r"(-?\d+) C", texts[0]).group(1))
            return asked.call(("fahrenheit", {"celsius": celsius}), text="")
        fahrenheit = re.search(r"(-?\d+)", texts[1]).group(1)
        return f"In Paris it is {fahrenheit} F: take a light coat."


async def both_cities(params):
    """Calls a tool twice in one answer, and then repeats the results in their order."""
    asked = Asked.of(params)
    if not asked.results:
        return asked.call(("weather", {"city": "Paris"}), ("weather", {"city": "Rome"}))
    return " / ".join(text for _, text, _ in asked.results)


async def told_results(params):
    """Calls the tool once, and then says what came of it and whether it failed."""
    asked = Asked.of(params)
    if not asked.results:
        return asked.call(("weather", {"city": "Atlantis"}))
    return " / ".join(f"{'failed' if failed else 'good'}: {text}" for _, text, failed in asked.results)


class Person:
    """Answers in the form that it is asked for, as models do: in a code fence, and, where it is
    `careless`, only at the second time of asking.
    """

    def __init__(self, careless=False):
        self.answers = ['{"name": "Ann"}'] if careless else []
        self.answers.append('{"name": "Ann", "age": 41}')

    async def __call__(self, params):
        assert "JSON" in params.systemPrompt, "the form was not asked for"
        return f"```json\n{self.answers.pop(0)}\n```"


# The tools that these models look for, as a program has them.


def weather(city: str) -> str:
    """Tells the weather of a city."""
    return {"Paris": "18 C, cloudy", "Rome": "25 C, sunny"}[city]


def fahrenheit(celsius: int) -> str:
    """Says a temperature in Fahrenheit."""
    return f"{celsius * 9 // 5 + 32} F"


RUN = {"weather": weather, "fahrenheit": fahrenheit}

SCHEMAS = {
    "weather": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Its name"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "fahrenheit": {
        "type": "object",
        "properties": {"celsius": {"type": "integer"}},
        "required": ["celsius"],
        "additionalProperties": False,
    },
}
