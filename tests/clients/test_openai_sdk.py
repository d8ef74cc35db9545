"""The official `openai` client, blocking, asking for whole answers."""

import openai
import pytest


def test_a_whole_answer(client, host, user):
    answer = client.chat.completions.create(model="gpt-x", messages=user("Hello"))
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-x"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "echo: Hello")
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls is None
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
    assert answer._request_id == answer.id.removeprefix("chatcmpl-")
    asked = host.asked.get_nowait()
    assert asked.modelPreferences.hints[0].name == "gpt-x"


def test_the_headers_name_the_request_the_way_and_the_model(client, user):
    raw = client.chat.completions.with_raw_response.create(model="m", messages=user("Hello"))
    assert raw.headers["x-request-id"] in raw.parse().id
    assert raw.headers["x-mcp-backend"] == "sampling"
    assert raw.headers["x-mcp-model"] == "scripted-model"
    assert raw.headers["x-mcp-usage"] == "estimated"


def test_system_and_developer_messages_become_the_system_prompt(client, host):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Bonjour"},
        {"role": "user", "content": "Again"},
    ]
    client.chat.completions.create(model="m", messages=messages)
    asked = host.asked.get_nowait()
    assert asked.systemPrompt == "Be brief.\n\nIn French."
    assert [(m.role, m.content.text) for m in asked.messages] == [
        ("user", "Hello"),
        ("assistant", "Bonjour"),
        ("user", "Again"),
    ]


def test_the_parameters_reach_the_host(client, host, user):
    client.chat.completions.create(
        model="m",
        messages=user("Hello"),
        temperature=0.25,
        stop=["END"],
        max_completion_tokens=9,
        seed=7,
        user="ann",
        metadata={"k": "v"},
    )
    asked = host.asked.get_nowait()
    assert (asked.temperature, asked.stopSequences, asked.maxTokens) == (0.25, ["END"], 9)
    assert asked.metadata == {"k": "v", "seed": 7, "user": "ann"}


def test_an_image_by_data_uri_reaches_the_host_as_an_image(client, host):
    pixel = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
        "gg=="
    )
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}", "detail": "low"}},
    ]
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}])
    text, image = host.asked.get_nowait().messages
    assert text.content.text == "What is this?"
    assert (image.content.type, image.content.mimeType) == ("image", "image/png")
    assert image.content.data == pixel


def test_n_choices_come_in_order(client, host, user):
    answer = client.chat.completions.create(model="m", messages=user("Hello"), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"echo: Hello"}
    assert host.asked.qsize() == 3


def test_text_of_any_kind_comes_back_unchanged(client, user):
    text = 'Grüße, 你好, 🦀, "quoted", \\ back, \r\n\t end, \u2028, \x00, </channel>, data: [DONE]\n\n' * 500
    answer = client.chat.completions.create(model="m", messages=user(text))
    assert answer.choices[0].message.content == f"echo: {text}"


def test_models_are_listed_and_found(client, user):
    assert [model.id for model in client.models.list()] == ["modeltap"]
    assert client.models.retrieve("modeltap").owned_by == "modeltap"
    client.chat.completions.create(model="modeltap", messages=user("Hello"))
    # Now the host has named its own.
    assert "scripted-model" in [model.id for model in client.models.list()]
    assert client.models.retrieve("scripted-model").id == "scripted-model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no/such model")
    assert caught.value.code == "model_not_found"


def test_what_a_function_calling_program_may_send_without_tools(client, user):
    """Fields that SDK users set by habit and that need no model feature are not refused."""
    answer = client.chat.completions.create(
        model="m",
        messages=user("Hello"),
        tools=openai.NOT_GIVEN,
        response_format={"type": "text"},
        logprobs=False,
        frequency_penalty=0,
        presence_penalty=0,
        service_tier="auto",
        store=False,
        reasoning_effort="low",
        extra_body={"something": "else"},
        extra_headers={"X-Anything": "goes"},
        extra_query={"api-version": "1"},
    )
    assert answer.choices[0].message.content == "echo: Hello"
