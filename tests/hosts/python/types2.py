"""A model's answers in the types of `mcp_types`, which the official Python SDK 2.x and fastmcp share."""

import mcp_types as types

import common


def result_of(said):
    """What a model said, as a sampling result."""
    if isinstance(said, common.ToolUse):
        content = types.ToolUseContent(id="use_1", name=said.name, input=said.input)
        return types.CreateMessageResultWithTools(
            role="assistant", content=content, model="scripted-model", stop_reason="toolUse"
        )
    return types.CreateMessageResult(
        role="assistant",
        content=types.TextContent(text=said),
        model="scripted-model",
        stop_reason="endTurn",
    )


def sampling(tools):
    """What a host declares of its sampling."""
    return types.SamplingCapability(tools=types.SamplingToolsCapability() if tools else None)


def client_info():
    return types.Implementation(name=common.CLIENT_NAME, version="1")


def result(told):
    """A tool's result."""
    return common.Result(
        text="".join(block.text for block in told.content if block.type == "text"),
        first=told.content[0].text,
        data=told.structured_content,
        is_error=told.is_error,
        images=sum(block.type == "image" for block in told.content),
    )
