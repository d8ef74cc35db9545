//! The address: whether a bridge could listen there, and who does already.

use super::Patient;
use super::finding::Finding;
use super::listener;
use crate::access::token_file::TokenFile;
use crate::control::{Reach, reach};
use crate::http;
use serde_json::Value;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// The longest that whoever has the port is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// The most that is read of what it says.
const MOST: u64 = 1024 * 1024;

/// What is said of the address and of who may use it.
pub fn check(patient: &Patient) -> Vec<Finding> {
    let (host, port) = (patient.config.host.as_str(), patient.config.port);
    let place = format!("{host}:{port}");
    let mut findings = vec![address(patient, &place).with(&place)];
    if reach(host) == Reach::Others {
        findings.push(exposed(patient, host));
    }
    findings
}

fn address(patient: &Patient, place: &str) -> Finding {
    let (host, port) = (patient.config.host.as_str(), patient.config.port);
    if !patient.config.auto_start {
        return Finding::warning(
            "port",
            format!("nothing listens at {place} until the host calls the tool http_server_start"),
            "unset MODELTAP_HTTP_AUTO_START to listen from the start",
        );
    }
    let Err(e) = http::try_to_bind(host, port) else {
        return match port {
            0 => Finding::ok(
                "port",
                format!("a free one of {host} is taken; http_server_status tells it"),
            ),
            _ => Finding::ok("port", format!("{place} is free")),
        };
    };
    match e.kind() {
        ErrorKind::AddrInUse => taken(patient, place),
        ErrorKind::PermissionDenied => Finding::problem(
            "port",
            format!("{place} may not be listened at by this user ({e})"),
            "choose a port from 1024 on with --port",
        ),
        ErrorKind::AddrNotAvailable => Finding::problem(
            "port",
            format!("{host} is no address of this machine ({e})"),
            "listen on 127.0.0.1, or on an address that \"ip address\" lists, with --host",
        ),
        _ => Finding::problem("port", e.to_string(), "listen on 127.0.0.1 with --host"),
    }
}

/// Who has the port.
fn taken(patient: &Patient, place: &str) -> Finding {
    let port = patient.config.port;
    let holder = listener::of(port);
    let by = holder.as_ref().map(|(pid, name)| format!(" ({name}, process {pid})"));
    let by = by.unwrap_or_default();
    match target(&patient.config.host, port).and_then(ask) {
        Some(Ok(way)) => Finding::ok(
            "port",
            format!("a modeltap serves at {place}{by}, with a model behind it by {way}"),
        ),
        Some(Err(why)) => Finding::warning(
            "port",
            format!("a modeltap serves at {place}{by}, with no model behind it"),
            why,
        ),
        None => {
            let by = if by.is_empty() { " by something that is no modeltap" } else { &by };
            let stop = holder.map_or("stop what has it".into(), |(pid, _)| format!("kill {pid}"));
            Finding::problem(
                "port",
                format!("{place} is taken{by}"),
                format!("{stop}, or choose another port with --port or MODELTAP_PORT"),
            )
        }
    }
}

/// Where to reach who listens at this address.
fn target(host: &str, port: u16) -> Option<SocketAddr> {
    let mut address = (host.trim_matches(['[', ']']), port).to_socket_addrs().ok()?.next()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            address.set_ip(std::net::Ipv6Addr::LOCALHOST.into())
        }
        _ => {}
    }
    Some(address)
}

/// Asks a modeltap for the way to its model, or why there is none; `None` where it is no modeltap.
fn ask(address: SocketAddr) -> Option<Result<String, String>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER))
        .build()
        .into();
    let get = |path: &str| -> Option<Value> {
        let answer = agent.get(format!("http://{address}{path}")).call().ok()?;
        let mut text = String::new();
        answer.into_body().into_reader().take(MOST).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    };
    if get("/openapi.json")?["info"]["title"] != env!("CARGO_PKG_NAME") {
        return None;
    }
    let ready = get("/ready")?;
    Some(match (ready["backend"].as_str(), ready["error"]["message"].as_str()) {
        (Some(way), _) => Ok(way.to_owned()),
        (None, why) => Err(why.unwrap_or("see what its host says").to_owned()),
    })
}

/// Other machines can reach it: they must need a key.
fn exposed(patient: &Patient, host: &str) -> Finding {
    let config = &patient.config;
    let asks = |path| TokenFile::new(path).asks_for_tokens();
    match config.api_key.is_some() || config.tokens.clone().is_some_and(asks) {
        true => {
            Finding::ok("access", format!("other machines reach {host}, and are asked for a key"))
        }
        false => Finding::problem(
            "access",
            format!(
                "other machines could reach {host} and ask without a key, so HTTP is not started"
            ),
            "make a token with \"modeltap token add NAME\", or set MODELTAP_API_KEY, or listen on 127.0.0.1",
        ),
    }
}
