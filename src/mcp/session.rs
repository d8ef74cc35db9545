//! The handshake: who is at the other end of the pipe, and what it can do.

use super::modern::Meta;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::{Arc, PoisonError, RwLock};

/// The versions of the legacy era, oldest first.
pub const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// What is answered to a client that asks for another version.
pub const LATEST: &str = VERSIONS[3];
/// The version of the modern era, whose clients do not shake hands.
pub const MODERN: &str = "2026-07-28";
/// The one version whose clients may send batches.
pub const BATCHES: &str = VERSIONS[1];

/// Which era is spoken with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// As the host begins; where it would take either, the one in which it can be served best.
    Auto,
    /// 2024-11-05 to 2025-11-25 only.
    Legacy,
    /// 2026-07-28 only.
    Modern,
}

/// What `initialize` told, or the `_meta` of a modern request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// `clientInfo.name`; empty before `initialize`.
    pub name: String,
    /// `clientInfo.version`.
    pub version: String,
    /// The protocol version that was agreed; empty before `initialize`.
    pub protocol: &'static str,
    /// The names of the capabilities that it declared, see [`declared`].
    pub capabilities: Vec<String>,
    /// Whether it declared `sampling` and takes requests for it at any time.
    pub sampling: bool,
    /// Whether its sampling takes tools (`sampling.tools`, from 2025-11-25 on).
    pub sampling_tools: bool,
    /// Whether it samples within calls of `hook` only, as the modern era has it.
    pub modern_sampling: bool,
    /// Whether it said `notifications/initialized`, or went on as if it had.
    pub ready: bool,
}

/// The parameters of `initialize` that matter here. All else is accepted and ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    protocol_version: String,
    #[serde(default)]
    capabilities: Map<String, Value>,
    #[serde(default)]
    client_info: ClientInfo,
}

#[derive(Deserialize, Default)]
struct ClientInfo {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

impl Client {
    /// Who sends modern requests.
    pub fn of(meta: Meta) -> Self {
        Client {
            name: meta.name,
            version: meta.version,
            protocol: MODERN,
            capabilities: meta.capabilities,
            modern_sampling: meta.sampling,
            ..Client::default()
        }
    }

    /// Who wants to shake hands, with no protocol agreed; nobody known where its params cannot be read.
    pub fn introduced(params: Option<&str>) -> Self {
        let params = params.and_then(|params| serde_json::from_str::<Initialize>(params).ok());
        params.map_or_else(Client::default, |params| Client {
            name: params.client_info.name,
            version: params.client_info.version,
            capabilities: declared(&params.capabilities),
            ..Client::default()
        })
    }
}

/// The most names of capabilities that are kept of a host, and the most bytes of each.
const MOST: usize = 32;
const LONGEST: usize = 64;

/// The names of declared capabilities, with those one level within them as `sampling.tools`; no more
/// than 32, and none that is longer than 64 bytes.
pub fn declared(capabilities: &Map<String, Value>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in capabilities.iter().filter(|(_, value)| !value.is_null()) {
        names.push(name.clone());
        let within = value.as_object().into_iter().flatten();
        names.extend(within.map(|(inner, _)| format!("{name}.{inner}")));
    }
    names.retain(|name| name.len() <= LONGEST && !name.contains(char::is_control));
    names.truncate(MOST);
    names
}

/// The session with the host. Clones share it.
#[derive(Clone, Default)]
pub struct Session(Arc<RwLock<Arc<Client>>>);

impl Session {
    /// What is known of the client now.
    pub fn client(&self) -> Arc<Client> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the parameters of an `initialize`, the first or a later one.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn initialize(&self, params: Option<&str>) -> Result<Arc<Client>, String> {
        let params = params.ok_or("initialize needs params with a protocolVersion")?;
        let params: Initialize =
            serde_json::from_str(params).map_err(|e| format!("initialize: {e}"))?;
        let asked = VERSIONS.into_iter().find(|version| *version == params.protocol_version);
        let protocol = asked.unwrap_or(LATEST);
        let sampling = params.capabilities.get("sampling");
        let client = Arc::new(Client {
            name: params.client_info.name,
            version: params.client_info.version,
            protocol,
            capabilities: declared(&params.capabilities),
            sampling: sampling.is_some_and(|sampling| !sampling.is_null()),
            sampling_tools: protocol == LATEST
                && sampling.and_then(|s| s.get("tools")).is_some_and(|tools| !tools.is_null()),
            modern_sampling: false,
            ready: false,
        });
        self.set(client.clone());
        Ok(client)
    }

    /// Notes that the client considers the handshake done; `false` when that was known.
    pub fn set_ready(&self) -> bool {
        let client = self.client();
        let is_news = !client.ready && !client.protocol.is_empty();
        if is_news {
            self.set(Arc::new(Client { ready: true, ..(*client).clone() }));
        }
        is_news
    }

    /// Notes who sends modern requests, unless hands were shaken with somebody; `false` when that was
    /// known.
    pub fn met(&self, meta: &Meta) -> bool {
        let known = self.client();
        let is_known = known.name == meta.name && known.modern_sampling == meta.sampling;
        match known.protocol {
            "" => {}
            MODERN if !is_known => {}
            _ => return false,
        }
        self.set(Arc::new(Client { ready: true, ..Client::of(meta.clone()) }));
        true
    }

    fn set(&self, client: Arc<Client>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = client;
    }
}
