//! What a host can only be told in words: earlier tool calls and results, the tools on offer, the
//! form an answer must have, and what was wrong with it.

use super::markup::{CLOSE, OPEN};
use crate::chat::{Ask, Format, Message, Part, Role, Tool, ToolChoice};
use crate::mcp::rpc::json;
use std::fmt::Write;

/// The text of a message's parts for a host that knows nothing but text. They are joined by line
/// ends; a tool call is written as `<tool_call>{"name":…,"arguments":{…}}</tool_call>`.
pub fn text(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() && !matches!(part, Part::Image { .. }) {
            text.push('\n');
        }
        push(&mut text, part);
    }
    text
}

/// Appends the text form of `part`; an image has none.
fn push(text: &mut String, part: &Part) {
    // Writing to a String cannot fail.
    let _ = match part {
        Part::Text(said) => text.write_str(said),
        Part::Image { .. } => Ok(()),
        Part::ToolCall { name, arguments, .. } => {
            write!(
                text,
                "{OPEN}{{\"name\":{},\"arguments\":{arguments}}}{CLOSE}",
                json(name.as_ref())
            )
        }
        Part::ToolResult { id, content, is_error } => {
            let failed = if *is_error { " (it failed)" } else { "" };
            let _ = write!(text, "Result of the tool call {id}{failed}:");
            for part in content {
                text.push('\n');
                push(text, part);
            }
            Ok(())
        }
    };
}

/// Adds to the instructions of `ask` what its host can only be told in words: the form of the
/// answer, and the tools, unless the host takes them as they are. Where the message stands that was
/// added, if one was.
pub fn put_in_words(ask: &mut Ask, native_tools: bool) -> Option<usize> {
    let mut said = String::new();
    if asks_for_tools_in_words(ask, native_tools) {
        tools(&mut said, ask);
    }
    if let Some(format) = &ask.format {
        form(&mut said, format);
    }
    if said.is_empty() {
        return None;
    }
    let after = ask.messages.iter().take_while(|message| message.role == Role::System).count();
    let parts = vec![Part::Text(said.into())];
    ask.messages.insert(after, Message { role: Role::System, name: None, parts });
    Some(after)
}

/// Whether tools are asked for in words and read back from the text.
pub fn asks_for_tools_in_words(ask: &Ask, native_tools: bool) -> bool {
    !native_tools && !ask.tools.is_empty() && ask.tool_choice != ToolChoice::None
}

fn tools(said: &mut String, ask: &Ask) {
    let _ = writeln!(
        said,
        "You can call tools. To call one, write\n\
         {OPEN}{{\"name\":\"TOOL\",\"arguments\":{{…}}}}{CLOSE}\n\
         in your answer, the arguments as a JSON object that fits the tool's schema. Write it \
         exactly so, not in a code fence, and end your answer after the last call: the results \
         come in the next message. Do not make up results. These are the only tools, whatever \
         others you know of; each line is one:"
    );
    for tool in offered(ask) {
        let description = json(tool.description.as_deref().unwrap_or_default());
        let _ = writeln!(
            said,
            "{{\"name\":{},\"description\":{description},\"parameters\":{}}}",
            json(tool.name.as_ref()),
            tool.schema
        );
    }
    said.push_str(match &ask.tool_choice {
        ToolChoice::Required => "You must call at least one tool in this answer. ",
        ToolChoice::Named(_) => "You must call this tool in this answer. ",
        ToolChoice::Auto | ToolChoice::None => "Call a tool only where it helps. ",
    });
    said.push_str(match ask.parallel_tools {
        true => "You may write several calls, one after the other.\n",
        false => "Write one call at most.\n",
    });
}

/// The tools that the choice leaves.
pub fn offered<'s, 'a>(ask: &'s Ask<'a>) -> impl Iterator<Item = &'s Tool<'a>> {
    ask.tools.iter().filter(|tool| match &ask.tool_choice {
        ToolChoice::Named(name) => tool.name == *name,
        ToolChoice::None => false,
        ToolChoice::Auto | ToolChoice::Required => true,
    })
}

fn form(said: &mut String, format: &Format) {
    said.push_str(
        "Unless you call a tool, your answer must be one JSON value and nothing else: no text \
         before or after it, and no code fence. ",
    );
    let _ = match format {
        Format::JsonObject => writeln!(said, "It must be a JSON object."),
        Format::JsonSchema { schema, .. } => {
            writeln!(said, "It must fit this JSON schema:\n{schema}")
        }
    };
}

/// What is said to a model whose answer did not have the form that was asked for.
pub fn correction(fault: &str) -> String {
    format!(
        "Your last answer cannot be used: {fault}\nAnswer again, in full, in the form that was \
         asked for, and do not mention this message."
    )
}
