//! Where requests are forwarded to: the endpoint's URL, the key for it, and the HTTP client of one
//! call. Neither key nor path leaves this file in words: both may hold a secret.

use std::fmt;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::HeaderValue;
use ureq::http::uri::{PathAndQuery, Uri};

const PATH: &str = "/chat/completions";
/// Bytes of the buffers of a connection, one for each direction; the head of an answer fits one.
const BUFFER: usize = 32 * 1024;

/// The settings of forwarding.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The endpoint, where one is set.
    pub url: Option<Url>,
    /// The key that it asks for, where one is set.
    pub key: Option<Key>,
    /// Globs, and the endpoint's name for the models that they match; the first that matches counts.
    pub models: Vec<(String, String)>,
    /// For how long the endpoint may be silent.
    pub silence: Duration,
    /// For how long it may take to connect.
    pub connect: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            url: None,
            key: None,
            models: Vec::new(),
            silence: Duration::from_secs(120),
            connect: Duration::from_secs(10),
        }
    }
}

/// The URL of an endpoint's `chat/completions`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// Reads a base such as `http://127.0.0.1:11434/v1`, or the whole path to `chat/completions`;
    /// a URL without a path gets `/v1`.
    ///
    /// # Errors
    /// What is allowed. The text is not repeated, since it may hold a secret.
    pub fn read(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "a URL such as http://127.0.0.1:11434/v1";
        let fault = |why: &str| format!("{EXAMPLE} ({why})");
        let uri: Uri = text.trim().parse().map_err(|_| fault("this is none"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") if cfg!(feature = "tls") => {}
            Some("https") => {
                return Err(fault(
                    "this build speaks no TLS: for https build it with cargo install --path . \
                     --features tls",
                ));
            }
            Some(_) => return Err(fault("its scheme must be http or https")),
            None => return Err(fault("it must begin with http:// or https://")),
        }
        let authority = uri.authority().ok_or_else(|| fault("it names no host"))?;
        if authority.host().is_empty() {
            return Err(fault("it names no host"));
        }
        if authority.as_str().contains('@') {
            return Err(fault("a key does not belong in it, but in MODELTAP_FORWARD_KEY"));
        }
        let (colon, _) = authority.as_str().rsplit_once(':').unwrap_or_default();
        if colon == authority.host() && authority.port_u16().is_none() {
            return Err(fault("its port must be a number up to 65535"));
        }
        let path = match uri.path().trim_end_matches('/') {
            "" => format!("/v1{PATH}"),
            whole if whole.ends_with(PATH) => whole.to_owned(),
            base => format!("{base}{PATH}"),
        };
        let path = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.into_parts();
        let path = PathAndQuery::try_from(path).map_err(|_| fault("its path cannot be read"))?;
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map(Url).map_err(|_| fault("this is none"))
    }

    /// Scheme, host and port: what of it may be told.
    pub fn origin(&self) -> String {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }

    /// Whether OpenAI itself is behind it, whose newer models know the limit of an answer by its
    /// newer name only, `max_completion_tokens`, which others do not know.
    pub fn is_openai(&self) -> bool {
        let host = self.0.host().unwrap_or_default().to_ascii_lowercase();
        [".openai.com", ".openai.azure.com"].iter().any(|domain| host.ends_with(domain))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

/// A key, ready to be sent; to be shown it is not.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Reads a key: visible ASCII, so that it fits a header.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, String> {
        match !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Key(text.to_owned())),
            false => Err("a key of visible ASCII characters".into()),
        }
    }

    /// `text` without the key, for what an endpoint says may repeat it.
    fn hide(&self, text: String) -> String {
        if text.contains(&self.0) { text.replace(&self.0, "(the forward key)") } else { text }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a key)")
    }
}

/// An endpoint, and how long it may take.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub url: Url,
    key: Option<Key>,
    /// For how long it may be silent.
    pub silence: Duration,
    /// For how long it may take to connect.
    pub connect: Duration,
}

impl Target {
    /// The endpoint of the settings, where one is set.
    pub fn of(settings: &Settings) -> Option<Self> {
        let Settings { url, key, silence, connect, .. } = settings.clone();
        Some(Target { url: url?, key, silence, connect })
    }

    /// A client for one call and one connection, which `shutdown` ends at once from any thread.
    /// `total` bounds the call as a whole.
    pub fn agent(&self, total: Option<Duration>) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Else the environment would name one, and could take the key elsewhere.
            .proxy(None)
            .max_redirects(0)
            .max_idle_connections(0)
            .user_agent(concat!("modeltap/", env!("CARGO_PKG_VERSION")))
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(BUFFER / 2)
            .timeout_resolve(Some(self.connect))
            .timeout_connect(Some(self.connect))
            .timeout_per_read(Some(self.silence))
            .timeout_per_write(Some(self.silence))
            .timeout_global(total);
        config.build().into()
    }

    /// Posts a body, and waits for the head of the answer.
    ///
    /// # Errors
    /// As ureq has them; a status is none.
    pub fn post(
        &self,
        agent: &Agent,
        body: &[u8],
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = agent.post(self.url.0.clone()).header("Content-Type", "application/json");
        if let Some(Key(key)) = &self.key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                .map_err(|e| ureq::Error::Http(e.into()))?;
            value.set_sensitive(true);
            request = request.header("Authorization", value);
        }
        request.send(body)
    }

    /// Whether a key is sent.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// `text` without the key.
    pub fn hide_key(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.hide(text),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_or_a_whole_path_will_do() {
        for (text, path) in [
            ("http://127.0.0.1:11434", "/v1/chat/completions"),
            ("http://127.0.0.1:11434/", "/v1/chat/completions"),
            ("http://localhost/v1", "/v1/chat/completions"),
            (" http://[::1]:8080/api/v1/ ", "/api/v1/chat/completions"),
            ("http://h/v1/chat/completions", "/v1/chat/completions"),
            ("http://h/v1/chat/completions/", "/v1/chat/completions"),
            ("http://h/x/chat/completions?api-version=1", "/x/chat/completions?api-version=1"),
            ("http://h/x?api-version=1#top", "/x/chat/completions?api-version=1"),
        ] {
            let url = Url::read(text).unwrap();
            assert_eq!(url.0.path_and_query().unwrap(), path, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (text, why) in [
            ("", "none"),
            ("h:80/v1 x", "none"),
            ("/v1", "begin with"),
            ("localhost:11434", "begin with"),
            ("ftp://h/v1", "scheme"),
            ("http://", "none"),
            ("http://:80/v1", "host"),
            ("http://user:pass@h/v1", "MODELTAP_FORWARD_KEY"),
            ("http://h:99999/v1", "port"),
            ("http://h:/v1", "port"),
        ] {
            let said = Url::read(text).unwrap_err();
            assert!(said.contains(why) && said.contains("http://127.0.0.1"), "{text}: {said}");
        }
        let https = Url::read("https://api.openai.com/v1");
        assert_eq!(https.is_ok(), cfg!(feature = "tls"));
        if let Err(said) = https {
            assert!(said.contains("--features tls"), "{said}");
        }
    }

    #[test]
    fn neither_key_nor_query_is_shown() {
        let settings = Settings {
            url: Some(Url::read("http://h/v1?key=s3cret").unwrap()),
            key: Some(Key::read("s3cret").unwrap()),
            ..Settings::default()
        };
        let target = Target::of(&settings).unwrap();
        let shown = format!("{settings:?} {target:?} {:?}", target.agent(None));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("http://h"), "{shown}");
        assert_eq!(target.hide_key("bad s3cret!".into()), "bad (the forward key)!");
        for bad in ["", "a b", "a\n", "ä"] {
            assert!(Key::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn openai_is_known_by_its_host() {
        for (text, is) in [
            ("http://api.openai.com/v1", true),
            ("http://EU.api.OpenAI.com/v1", true),
            ("http://me.openai.azure.com/openai/v1", true),
            ("http://notopenai.com/v1", false),
            ("http://127.0.0.1/api.openai.com", false),
        ] {
            assert_eq!(Url::read(text).unwrap().is_openai(), is, "{text}");
        }
    }
}
