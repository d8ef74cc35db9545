//! Web pages on this machine, and what they may: under which names the bridge is asked for, of which
//! origins a page may ask, and what its browser is told about that. Only heads are looked at.

use super::refused::Refused;
use crate::http::{Head, Headers};
use std::borrow::Cow;
use std::net::IpAddr;

/// Which pages may use the bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// Its own only.
    #[default]
    Own,
    /// These too, each as browsers write it: `https://example.org`.
    Listed(Vec<String>),
    /// Any.
    Any,
}

/// The names of the bridge, and the pages that may use it.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    /// Names, in lower case, besides those of loopback.
    pub names: Vec<String>,
    /// The pages.
    pub origins: Origins,
}

impl Sites {
    /// Lets a request pass, as far as its name for us and its page go. `exposed`: whether the bridge
    /// is to be reached from other machines, and so by its addresses.
    ///
    /// # Errors
    /// A name that is none of ours: a page may have had it pointed at this machine (DNS rebinding).
    /// An origin that may not use the bridge. A page's body that is not said to be JSON: such a one
    /// is sent without asking beforehand.
    pub fn check(&self, head: &Head, exposed: bool) -> Result<(), Refused> {
        // HTTP/1.1 has one, and no browser speaks 1.0.
        if let Some(host) = text(head, "host")
            && !self.is_ours(&host, exposed)
        {
            return Err(Refused::Host(host.into_owned()));
        }
        let Some(origin) = text(head, "origin") else { return Ok(()) };
        if !self.may_ask(head, &origin) {
            return Err(Refused::Origin(origin.into_owned()));
        }
        let given = head.header("content-type").unwrap_or("none");
        match head.method == "POST" && !is_json(given) {
            true => Err(Refused::MediaType(given.to_owned())),
            false => Ok(()),
        }
    }

    fn is_ours(&self, host: &str, exposed: bool) -> bool {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            // No name can be pointed at an address that is no name.
            return exposed || ip.to_canonical().is_loopback();
        }
        self.names.contains(&name)
    }

    /// Lets a request pass that no page of another origin may make, listed or not.
    ///
    /// # Errors
    /// Such a page made it.
    pub fn check_own(head: &Head) -> Result<(), Refused> {
        if let Some(origin) = text(head, "origin").filter(|origin| !is_own(head, origin)) {
            return Err(Refused::OtherOrigin(origin.into_owned()));
        }
        // Such as an image's address, which comes without an origin.
        match head.header("sec-fetch-site") {
            Some(site @ ("cross-site" | "same-site")) => Err(Refused::OtherOrigin(site.into())),
            _ => Ok(()),
        }
    }

    fn may_ask(&self, head: &Head, origin: &str) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Own => is_own(head, origin),
            Origins::Listed(listed) => {
                listed.iter().any(|one| one.eq_ignore_ascii_case(origin)) || is_own(head, origin)
            }
        }
    }

    /// The headers by which a browser lets the page of a request read the answer and, at a
    /// `preflight`, ask. None for those of its own origin, which need none.
    pub fn cors(&self, head: &Head, preflight: bool) -> Headers {
        let vary = ("Vary", Cow::Borrowed("Origin"));
        let origin = match (&self.origins, head.header("origin")) {
            (Origins::Own, _) => return Headers::new(),
            (Origins::Any, _) => Cow::Borrowed("*"),
            (Origins::Listed(_), Some(origin)) if self.may_ask(head, origin) => {
                Cow::Owned(origin.to_owned())
            }
            (Origins::Listed(_), _) => return vec![vary],
        };
        let mut headers: Headers = vec![("Access-Control-Allow-Origin", origin), vary];
        if !preflight {
            headers.push(("Access-Control-Expose-Headers", EXPOSED.into()));
            return headers;
        }
        headers.push(("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS".into()));
        headers.push(("Access-Control-Allow-Headers", ALLOWED.into()));
        headers.push(("Access-Control-Max-Age", "600".into()));
        // Chrome's question whether a page of the internet may ask this machine.
        if head.header("access-control-request-private-network").is_some() {
            headers.push(("Access-Control-Allow-Private-Network", "true".into()));
        }
        headers
    }
}

/// What browser clients of both APIs send. `*` would not cover `Authorization`.
const ALLOWED: &str = "Authorization, Content-Type, x-api-key, anthropic-version, \
    anthropic-beta, anthropic-dangerous-direct-browser-access, OpenAI-Organization, \
    OpenAI-Project, OpenAI-Beta, x-stainless-arch, x-stainless-lang, x-stainless-os, \
    x-stainless-package-version, x-stainless-retry-count, x-stainless-runtime, \
    x-stainless-runtime-version, x-stainless-timeout, x-stainless-helper-method";
const EXPOSED: &str = "x-request-id, request-id, x-mcp-backend, x-mcp-model, x-mcp-usage, \
    x-mcp-ignored, Retry-After, x-should-retry, x-ratelimit-limit-requests, \
    x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, \
    x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, anthropic-ratelimit-requests-limit, \
    anthropic-ratelimit-requests-remaining, anthropic-ratelimit-requests-reset, \
    anthropic-ratelimit-tokens-limit, anthropic-ratelimit-tokens-remaining, \
    anthropic-ratelimit-tokens-reset";

/// A header's value; one that is not UTF-8 is still a value.
fn text<'a>(head: &Head<'a>, name: &str) -> Option<Cow<'a, str>> {
    let (_, value) = head.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(value))
}

fn is_own(head: &Head, origin: &str) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|own| head.header("host") == Some(own))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && !name.ends_with(':') => name,
        _ => host,
    }
}

fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>(method: &'a str, headers: &[(&'a str, &'a str)]) -> Head<'a> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Head { method, path: "/", query: "", headers, peer: IpAddr::from([127, 0, 0, 1]) }
    }

    fn listed() -> Sites {
        let origins =
            Origins::Listed(vec!["https://a.example".into(), "http://b.example:1".into()]);
        Sites { names: vec!["box.lan".into()], origins }
    }

    #[test]
    fn the_bridge_answers_to_names_that_nobody_else_can_point_at_it() {
        for (host, ours, exposed) in [
            ("localhost", true, true),
            ("LocalHost:8787", true, true),
            ("api.localhost:1", true, true),
            ("localhost.:80", true, true),
            ("127.0.0.1:8787", true, true),
            ("127.9.9.9", true, true),
            ("[::1]:8787", true, true),
            ("[::1]", true, true),
            ("box.lan", true, true),
            ("BOX.LAN:80", true, true),
            ("192.0.2.1:8787", false, true),
            ("[2001:db8::1]:1", false, true),
            ("evil.example", false, false),
            ("localhost.evil.example", false, false),
            ("evillocalhost", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("", false, false),
            (":80", false, false),
            ("localhost:80:80", false, false),
            ("localhost@evil.example", false, false),
        ] {
            let is_ours =
                |exposed| listed().check(&head("GET", &[("Host", host)]), exposed).is_ok();
            assert_eq!((is_ours(false), is_ours(true)), (ours, exposed), "{host}");
        }
    }

    #[test]
    fn pages_may_ask_from_the_own_origin_and_from_listed_ones() {
        for (origin, host, own, listed_too, any) in [
            ("http://localhost:8787", "localhost:8787", true, true, true),
            ("http://localhost:3000", "localhost:8787", false, false, true),
            ("https://a.example", "localhost", false, true, true),
            ("https://a.example.evil.example", "localhost", false, false, true),
            ("http://a.example", "localhost", false, false, true),
            ("http://b.example:1", "localhost", false, true, true),
            ("null", "localhost", false, false, true),
            ("", "localhost", false, false, true),
        ] {
            let may = |origins| {
                let sites = Sites { names: Vec::new(), origins };
                sites.check(&head("GET", &[("Host", host), ("Origin", origin)]), false).is_ok()
            };
            let all = (may(Origins::Own), may(listed().origins), may(Origins::Any));
            assert_eq!(all, (own, listed_too, any), "{origin}");
        }
    }

    #[test]
    fn a_page_has_to_say_json_and_others_need_not() {
        for (media, page) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let own =
                [("Host", "localhost"), ("Content-Type", media), ("Origin", "http://localhost")];
            let sites = Sites::default();
            assert_eq!(sites.check(&head("POST", &own), false).is_ok(), page, "{media}");
            assert!(sites.check(&head("POST", &own[..2]), false).is_ok(), "{media}");
        }
    }

    #[test]
    fn browsers_are_told_of_origins_by_list() {
        let given = |sites: &Sites, origin, preflight| {
            let headers = sites.cors(&head("GET", &[("Origin", origin)]), preflight);
            let find = |name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
            (find("Access-Control-Allow-Origin"), find("Vary"), headers.len())
        };
        let vary = Some("Origin".to_owned());
        let a = Some("https://a.example".to_owned());
        assert_eq!(given(&listed(), "https://a.example", false), (a.clone(), vary.clone(), 3));
        assert_eq!(given(&listed(), "https://a.example", true), (a, vary.clone(), 5));
        assert_eq!(given(&listed(), "https://c.example", true), (None, vary.clone(), 1));
        assert_eq!(given(&Sites::default(), "https://a.example", true), (None, None, 0));
        let any = Sites { origins: Origins::Any, ..Sites::default() };
        assert_eq!(given(&any, "https://c.example", false), (Some("*".into()), vary, 3));
    }
}
