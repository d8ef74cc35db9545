//! Snippets that are code: they run as they are printed. `{…}` is filled in by `Given::fill`.

pub const CLAUDE_CODE: &str = "\
claude mcp add modeltap --scope user{claude_env} -- {binary_word}
claude --dangerously-load-development-channels server:modeltap --allowedTools mcp__modeltap__channel_reply,mcp__modeltap__channel_reply_stream,mcp__modeltap__next_request
";

pub const CLAUDE_CODE_CLIENT: &str = "\
export ANTHROPIC_BASE_URL={url}
export ANTHROPIC_AUTH_TOKEN=\"${{key}:-none}\"
claude
";

pub const CURL: &str = "\
curl {url}/v1/chat/completions \\
  -H \"Authorization: Bearer ${{key}:-none}\" \\
  -H \"Content-Type: application/json\" \\
  -d '{\"model\": \"modeltap\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'
";

pub const OPENAI_PYTHON: &str = r#"import os

from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key=os.environ.get("{key}", "none"))
answer = client.chat.completions.create(
    model="modeltap",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)
"#;

pub const OPENAI_NODE: &str = r#"import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "{url}/v1",
  apiKey: process.env.{key} ?? "none",
});
const answer = await client.chat.completions.create({
  model: "modeltap",
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.choices[0].message.content);
"#;

pub const ANTHROPIC_PYTHON: &str = r#"import os

from anthropic import Anthropic

client = Anthropic(base_url="{url}", auth_token=os.environ.get("{key}", "none"))
answer = client.messages.create(
    model="modeltap",
    max_tokens=1000,
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.content[0].text)
"#;

pub const ANTHROPIC_NODE: &str = r#"import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: "{url}",
  authToken: process.env.{key} ?? "none",
});
const answer = await client.messages.create({
  model: "modeltap",
  max_tokens: 1000,
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.content[0].text);
"#;

pub const LANGCHAIN: &str = r#"import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="modeltap",
    base_url="{url}/v1",
    api_key=os.environ.get("{key}", "none"),
)
print(model.invoke("Hello").content)
"#;
