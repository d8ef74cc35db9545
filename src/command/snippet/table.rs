//! The table of snippets: for each host and client what is printed, into which files it can be put,
//! and what is to be done then. A new one is one entry here; it is also asked for in the tests'
//! table of files (tests/snippet.rs).
//!
//! Where each keeps its settings, and in which form, is from its own documentation of autumn 2026;
//! those of Claude Code, Codex, Gemini CLI and Copilot CLI are checked against the programs.

use super::code;
use super::edit::{Format, Mine};
use super::places::Place;

/// Which end of the bridge it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It starts modeltap and lends its model.
    Host,
    /// It asks the model.
    Client,
}

/// One snippet.
pub struct Snippet {
    /// What it is asked for by.
    pub name: &'static str,
    /// Which end it is for.
    pub role: Role,
    /// Whom it is for, as people call it.
    pub who: &'static str,
    /// What is printed instead of the first file as it would be new. See [`Fill`](super::given::Given::fill).
    pub code: Option<&'static str>,
    /// What it puts into which files.
    pub files: &'static [File],
    /// How the host gets a key, which a snippet never holds.
    pub key: Key,
    /// What to do with what is printed.
    pub paste: &'static str,
    /// What to do once it is installed, or why it cannot be.
    pub then: &'static str,
}

/// A file and what a snippet puts into it.
pub struct File {
    /// Its language.
    pub format: Format,
    /// Where it is.
    pub place: Place,
    /// What is put into it.
    pub puts: &'static [Entry],
}

/// One thing that is put into a file.
pub struct Entry {
    /// Under which names; see [`Put`](super::edit::Put).
    pub path: &'static [&'static str],
    /// What it says.
    pub says: Says,
    /// How one tells that it is ours.
    pub mine: Mine,
    /// Whether it is wanted with a key, without one, or in any case.
    pub when: When,
}

/// When an entry is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In any case.
    Always,
    /// Where clients are asked for a key.
    Keyed,
    /// Where they are not.
    Open,
}

/// A value, with what is only known when it is asked for.
pub enum Says {
    /// A text; see [`Fill`](super::given::Given::fill).
    Text(&'static str),
    /// A number.
    Number(u32),
    /// A truth.
    Truth(bool),
    /// A list of texts.
    List(&'static [&'static str]),
    /// Members.
    Members(&'static [(&'static str, Says)]),
    /// The settings that are not as usual, as variables; left out where there are none.
    Settings,
    /// The same, and empty where there are none.
    AllSettings,
    /// The names of variables that hold keys; left out where there are none.
    KeyNames,
    /// The same, and empty where there are none.
    AllKeyNames,
}

/// How a host gets the keys that it hands to the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The bridge has the variables of its host.
    Inherited,
    /// This, around the name of a variable, stands for what it holds.
    Named(&'static str, &'static str),
    /// The entry lists names of variables.
    Listed,
    /// Not at all.
    Nowhere,
}

const COMMAND: Says = Says::Text("{binary}");
const MCP: Mine = Mine::Command("command");

const fn entry(path: &'static [&'static str], says: Says, mine: Mine) -> Entry {
    Entry { path, says, mine, when: When::Always }
}

const fn allow(rule: &'static str) -> Entry {
    entry(&["permissions", "allow", "-"], Says::Text(rule), Mine::Same)
}

const PULL: &str = "Then tell its model: \"serve the bridge with next_request\"; allow that tool once and for all.";
const CODE: &str = "is code: there is no file to put it into. Print it without --install, and paste it into your program";

/// All of them, in the order in which they are listed.
#[rustfmt::skip]
pub const TABLE: &[Snippet] = &[
    Snippet { name: "claude-code", role: Role::Host, who: "Claude Code", code: Some(code::CLAUDE_CODE),
        files: &[
            File { format: Format::Json,
                place: Place { user: ["~/.claude.json"; 3], moved: Some(("CLAUDE_CONFIG_DIR", ".claude.json")), project: Some(".mcp.json") },
                puts: &[entry(&["mcpServers", "modeltap"], Says::Members(&[("type", Says::Text("stdio")), ("command", COMMAND),
                    ("args", Says::List(&[])), ("env", Says::AllSettings)]), MCP)] },
            File { format: Format::Json,
                place: Place { user: ["~/.claude/settings.json"; 3], moved: Some(("CLAUDE_CONFIG_DIR", "settings.json")), project: Some(".claude/settings.local.json") },
                puts: &[allow("mcp__modeltap__channel_reply"), allow("mcp__modeltap__channel_reply_stream"), allow("mcp__modeltap__next_request")] },
        ],
        key: Key::Inherited,
        paste: "Run the first line once, and Claude Code by the second. (To let Claude Code ask the bridge instead: modeltap snippet claude-code-client.)",
        then: "Start it with its channel: claude --dangerously-load-development-channels server:modeltap" },
    Snippet { name: "vscode", role: Role::Host, who: "VS Code with GitHub Copilot", code: None,
        files: &[File { format: Format::Json,
            place: Place { user: ["$CONFIG/Code/User/mcp.json", "~/Library/Application Support/Code/User/mcp.json", "%APPDATA%/Code/User/mcp.json"],
                moved: None, project: Some(".vscode/mcp.json") },
            puts: &[entry(&["servers", "modeltap"], Says::Members(&[("type", Says::Text("stdio")), ("command", COMMAND), ("env", Says::Settings)]), MCP)] }],
        key: Key::Named("${env:", "}"),
        paste: "This is .vscode/mcp.json, or what \"MCP: Open User Configuration\" opens.",
        then: "Start the server from that file (\"Start\" above its entry), and consent at the first request." },
    Snippet { name: "copilot-cli", role: Role::Host, who: "GitHub Copilot CLI", code: None,
        files: &[File { format: Format::Json,
            place: Place { user: ["~/.copilot/mcp-config.json"; 3], moved: Some(("COPILOT_HOME", "mcp-config.json")), project: Some(".mcp.json") },
            puts: &[entry(&["mcpServers", "modeltap"], Says::Members(&[("type", Says::Text("local")), ("command", COMMAND),
                ("args", Says::List(&[])), ("tools", Says::List(&["*"])), ("env", Says::Settings)]), MCP)] }],
        key: Key::Named("${", "}"),
        paste: "This is ~/.copilot/mcp-config.json.",
        then: "Start copilot, interactively: under -p it lends no model." },
    Snippet { name: "claude-desktop", role: Role::Host, who: "Claude Desktop", code: None,
        files: &[File { format: Format::Json,
            place: Place { user: ["$CONFIG/Claude/claude_desktop_config.json", "~/Library/Application Support/Claude/claude_desktop_config.json", "%APPDATA%/Claude/claude_desktop_config.json"],
                moved: None, project: None },
            puts: &[entry(&["mcpServers", "modeltap"], Says::Members(&[("command", COMMAND), ("args", Says::List(&[])), ("env", Says::Settings)]), MCP)] }],
        key: Key::Nowhere,
        paste: "This is claude_desktop_config.json (Settings, Developer, Edit Config).",
        then: PULL },
    Snippet { name: "cursor", role: Role::Host, who: "Cursor", code: None,
        files: &[File { format: Format::Json,
            place: Place { user: ["~/.cursor/mcp.json"; 3], moved: None, project: Some(".cursor/mcp.json") },
            puts: &[entry(&["mcpServers", "modeltap"], Says::Members(&[("type", Says::Text("stdio")), ("command", COMMAND),
                ("args", Says::List(&[])), ("env", Says::Settings)]), MCP)] }],
        key: Key::Named("${env:", "}"),
        paste: "This is ~/.cursor/mcp.json, or .cursor/mcp.json of a project.",
        then: PULL },
    Snippet { name: "codex", role: Role::Host, who: "Codex CLI", code: None,
        files: &[File { format: Format::Toml, place: CODEX,
            puts: &[entry(&["mcp_servers", "modeltap"], Says::Members(&[("command", COMMAND), ("env", Says::Settings), ("env_vars", Says::KeyNames)]), MCP)] }],
        key: Key::Listed,
        paste: "This belongs into ~/.codex/config.toml. (To let Codex ask the bridge instead: modeltap snippet codex-client.)",
        then: PULL },
    Snippet { name: "gemini-cli", role: Role::Host, who: "Gemini CLI", code: None,
        files: &[File { format: Format::Json,
            place: Place { user: ["~/.gemini/settings.json"; 3], moved: None, project: Some(".gemini/settings.json") },
            puts: &[entry(&["mcpServers", "modeltap"], Says::Members(&[("command", COMMAND), ("args", Says::List(&[])), ("env", Says::Settings)]), MCP)] }],
        // It keeps variables whose names look like those of keys from what it starts, unless they are named.
        key: Key::Named("${", "}"),
        paste: "This belongs into ~/.gemini/settings.json.",
        then: PULL },
    Snippet { name: "goose", role: Role::Host, who: "goose", code: None,
        files: &[File { format: Format::Yaml,
            place: Place { user: ["$CONFIG/goose/config.yaml", "$CONFIG/goose/config.yaml", "%APPDATA%/Block/goose/config/config.yaml"],
                moved: Some(("GOOSE_PATH_ROOT", "config/config.yaml")), project: None },
            puts: &[entry(&["extensions", "modeltap"], Says::Members(&[("enabled", Says::Truth(true)), ("type", Says::Text("stdio")),
                ("name", Says::Text("modeltap")), ("description", Says::Text("Lends this model to programs on this machine")),
                ("cmd", COMMAND), ("args", Says::List(&[])), ("envs", Says::AllSettings), ("env_keys", Says::AllKeyNames),
                ("timeout", Says::Number(300))]), Mine::Command("cmd"))] }],
        key: Key::Listed,
        paste: "This belongs into ~/.config/goose/config.yaml.",
        then: "Start a session: goose session" },
    Snippet { name: "zed", role: Role::Host, who: "Zed", code: None,
        files: &[File { format: Format::Json,
            place: Place { user: ["$CONFIG/zed/settings.json", "~/.config/zed/settings.json", "%APPDATA%/Zed/settings.json"], moved: None, project: Some(".zed/settings.json") },
            puts: &[entry(&["context_servers", "modeltap"], Says::Members(&[("command", COMMAND), ("args", Says::List(&[])), ("env", Says::AllSettings)]), MCP)] }],
        key: Key::Inherited,
        paste: "This belongs into Zed's settings.json (zed: open settings).",
        then: PULL },

    Snippet { name: "openai-python", role: Role::Client, who: "OpenAI's Python SDK", code: Some(code::OPENAI_PYTHON), files: &[], key: Key::Inherited,
        paste: "Needs: pip install openai", then: CODE },
    Snippet { name: "openai-node", role: Role::Client, who: "OpenAI's Node SDK", code: Some(code::OPENAI_NODE), files: &[], key: Key::Inherited,
        paste: "Needs: npm install openai. Save it as a file that ends in .mjs.", then: CODE },
    Snippet { name: "anthropic-python", role: Role::Client, who: "Anthropic's Python SDK", code: Some(code::ANTHROPIC_PYTHON), files: &[], key: Key::Inherited,
        paste: "Needs: pip install anthropic", then: CODE },
    Snippet { name: "anthropic-node", role: Role::Client, who: "Anthropic's Node SDK", code: Some(code::ANTHROPIC_NODE), files: &[], key: Key::Inherited,
        paste: "Needs: npm install @anthropic-ai/sdk. Save it as a file that ends in .mjs.", then: CODE },
    Snippet { name: "claude-code-client", role: Role::Client, who: "Claude Code, asking the bridge", code: Some(code::CLAUDE_CODE_CLIENT),
        files: &[File { format: Format::Json,
            place: Place { user: ["~/.claude/settings.json"; 3], moved: Some(("CLAUDE_CONFIG_DIR", "settings.json")), project: Some(".claude/settings.local.json") },
            puts: &[entry(&["env", "ANTHROPIC_BASE_URL"], Says::Text("{url}"), Mine::Same),
                Entry { path: &["env", "ANTHROPIC_AUTH_TOKEN"], says: Says::Text("none"), mine: Mine::Same, when: When::Open },
                Entry { path: &["apiKeyHelper"], says: Says::Text("{key_command}"), mine: Mine::Same, when: When::Keyed }] }],
        key: Key::Inherited,
        paste: "Run this in a shell, for one session. Not where Claude Code is the host itself: it would wait for its own answer.",
        then: "Every session of Claude Code now asks the bridge, so it cannot be the host as well." },
    Snippet { name: "codex-client", role: Role::Client, who: "Codex CLI, asking the bridge", code: None,
        files: &[File { format: Format::Toml, place: CODEX,
            puts: &[Entry { path: &["model_providers", "modeltap"], when: When::Open, mine: Mine::Always, says: Says::Members(&[("name", Says::Text("modeltap")),
                    ("base_url", Says::Text("{url}/v1")), ("wire_api", Says::Text("responses"))]) },
                Entry { path: &["model_providers", "modeltap"], when: When::Keyed, mine: Mine::Always, says: Says::Members(&[("name", Says::Text("modeltap")),
                    ("base_url", Says::Text("{url}/v1")), ("wire_api", Says::Text("responses")), ("env_key", Says::Text("{key}"))]) }] }],
        key: Key::Inherited,
        paste: "This belongs into ~/.codex/config.toml. Then: codex -c model_provider=modeltap -m modeltap",
        then: "Run it with: codex -c model_provider=modeltap -m modeltap" },
    Snippet { name: "litellm", role: Role::Client, who: "LiteLLM's proxy", code: None,
        files: &[File { format: Format::Yaml, place: Place { user: [""; 3], moved: None, project: None },
            puts: &[Entry { path: &["model_list", "-"], when: When::Open, mine: Mine::Always, says: Says::Members(&[("model_name", Says::Text("modeltap")),
                    ("litellm_params", Says::Members(&[("model", Says::Text("openai/modeltap")), ("api_base", Says::Text("{url}/v1")), ("api_key", Says::Text("none"))]))]) },
                Entry { path: &["model_list", "-"], when: When::Keyed, mine: Mine::Always, says: Says::Members(&[("model_name", Says::Text("modeltap")),
                    ("litellm_params", Says::Members(&[("model", Says::Text("openai/modeltap")), ("api_base", Says::Text("{url}/v1")), ("api_key", Says::Text("os.environ/{key}"))]))]) }] }],
        key: Key::Inherited,
        paste: "This belongs into the proxy's config.yaml. Then: litellm --config config.yaml",
        then: "Start the proxy with it: litellm --config config.yaml" },
    Snippet { name: "langchain", role: Role::Client, who: "LangChain in Python", code: Some(code::LANGCHAIN), files: &[], key: Key::Inherited,
        paste: "Needs: pip install langchain-openai", then: CODE },
    Snippet { name: "aider", role: Role::Client, who: "aider", code: None,
        files: &[File { format: Format::Yaml, place: Place { user: ["~/.aider.conf.yml"; 3], moved: None, project: Some(".aider.conf.yml") },
            puts: &[entry(&["model"], Says::Text("openai/modeltap"), Mine::Same),
                entry(&["openai-api-base"], Says::Text("{url}/v1"), Mine::Same),
                Entry { path: &["openai-api-key"], says: Says::Text("none"), mine: Mine::Same, when: When::Open }] }],
        key: Key::Inherited,
        paste: "This belongs into ~/.aider.conf.yml. Where the bridge wants a key: OPENAI_API_KEY=\"$MODELTAP_API_KEY\" aider",
        then: "Start it: aider. Where the bridge wants a key: OPENAI_API_KEY=\"$MODELTAP_API_KEY\" aider" },
    Snippet { name: "curl", role: Role::Client, who: "curl in a shell", code: Some(code::CURL), files: &[], key: Key::Inherited,
        paste: "Run it in a shell.", then: CODE },
];

const CODEX: Place = Place {
    user: ["~/.codex/config.toml"; 3],
    moved: Some(("CODEX_HOME", "config.toml")),
    project: Some(".codex/config.toml"),
};

/// The snippet of this name.
pub fn named(name: &str) -> Option<&'static Snippet> {
    TABLE.iter().find(|snippet| snippet.name == name)
}
