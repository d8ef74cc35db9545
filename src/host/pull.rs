//! The pull loop, for hosts with nothing but tools: their model calls `next_request`, which waits
//! for a request and hands it out as text, and answers it in the next call of the same tool.

use super::fetching::{Call, Fetching};
use super::offers::{Fetch, Lease, Offers};
use super::{Errand, Place, Way};
use crate::chat::{Ask, Failure};
use crate::exchange::{CallId, Exchange};
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc::RpcId;
use crate::mcp::tool::{Answer, Outcome};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The most requests that one call hands out.
pub const MOST: i64 = 16;

/// The way through `next_request`.
pub struct Pull {
    offers: Offers,
    /// The open calls.
    pub fetching: Fetching,
    /// How long a call waits that does not say.
    wait: Duration,
    /// How long a host has to answer.
    lease: Duration,
}

/// What a call of `next_request` asks for.
pub struct Next {
    /// The request's id.
    pub id: RpcId,
    /// Where progress is told, if anywhere.
    pub progress_token: Option<RpcId>,
    /// Whether it is answered as the modern era has it.
    pub modern: bool,
    /// How long to wait, where the call says so.
    pub wait: Option<Duration>,
    /// The longest that this host bears, if that is known.
    pub limit: Option<Duration>,
    /// The most requests to hand out.
    pub most: usize,
    /// What became of the replies that came with the call.
    pub replied: Replied,
}

/// What became of the replies that came with a call.
#[derive(Debug, Clone, Default)]
pub struct Replied {
    /// Of each: its `request_id`, `ok`, and `message`.
    pub each: Vec<Value>,
    /// What is wrong with the first that can be put right.
    pub fault: Option<String>,
}

impl Replied {
    /// Tells of them in the result of the call, if there were any.
    fn tell(self, mut outcome: Outcome) -> Outcome {
        if !self.each.is_empty() {
            outcome.structured["replied"] = self.each.into();
        }
        outcome
    }
}

impl Pull {
    /// The way whose requests wait in `offers`.
    pub fn new(
        exchange: Exchange,
        offers: Offers,
        outbox: Outbox,
        wait: Duration,
        lease: Duration,
    ) -> Self {
        let fetching = Fetching::new(exchange, offers.clone(), outbox, lease);
        Pull { offers, fetching, wait, lease }
    }

    /// The tool `next_request`, its replies having been delivered. A reply that can be put right is
    /// told of at once: its program waits, and the model still knows what it said.
    pub fn next(&self, next: Next) -> Answer {
        let Next { id, progress_token, modern, wait, limit, most, replied } = next;
        if let Some(fault) = &replied.fault {
            // Whoever calls is there, though the call does not wait.
            drop(self.fetching.presence.begin());
            let said = format!(
                "{fault}. That reply was not taken: put it right and call next_request again with \
                 it, or without it if it cannot be put right."
            );
            return Answer::Done(replied.tell(Outcome::error(said)));
        }
        let wait = wait_of(wait, self.wait, limit);
        let fetch =
            Fetch { way: self.name(), most, native: false, lease: self.lease, alone_again: false };
        let call = Call { id, progress_token, fetch, wait, returning: None };
        let offers = self.offers.clone();
        let told = replied.clone();
        let result =
            move |leases: Vec<Lease>| told.tell(handed_out(&leases, offers.len())).to_json(modern);
        match self.fetching.open(call, result) {
            Ok(()) => Answer::Open,
            Err(why) => Answer::Done(replied.tell(Outcome::error(why))),
        }
    }
}

/// How long a call waits: as long as it asks, `usual` if it does not say, but no longer than its
/// host bears, where that is known.
fn wait_of(asked: Option<Duration>, usual: Duration, limit: Option<Duration>) -> Duration {
    // The official TypeScript client gives a call up after 60 s.
    let limit = limit.unwrap_or(usual.max(Duration::from_secs(50)));
    asked.unwrap_or(usual).min(limit)
}

impl Way for Pull {
    fn name(&self) -> &'static str {
        "pull"
    }

    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure> {
        self.offers.offer(ask, errand, false, false);
        Ok(Place::Offered(self.fetching.until()))
    }

    fn fetching(&self) -> Option<&Fetching> {
        Some(&self.fetching)
    }

    /// The sampling parameters are handed out, and a model may heed them or not.
    fn ignores(&self, _: &Ask) -> Vec<&'static str> {
        Vec::new()
    }

    fn withdraw(&self, id: CallId, _: &str) {
        // What was handed out cannot be taken back; a late reply is refused by name.
        self.offers.withdraw(id);
    }
}

const GO_ON: &str = "To go on serving, call next_request again; stop only when the user asks.";

/// The result of a call.
fn handed_out(leases: &[Lease], waiting: usize) -> Outcome {
    let mut images = Vec::new();
    let mut requests = leases.iter().map(|lease| request(lease, &mut images));
    let Some(mut first) = requests.next() else {
        return Outcome::ok(
            json!({"pending": false, "message": format!("No request came. {GO_ON}")}),
        );
    };
    let more: Vec<Value> = requests.collect();
    first["pending"] = true.into();
    first["message"] = format!(
        "Answer this program's question as its assistant. Then call next_request with reply: \
         {{\"request_id\": …, \"content\": the whole answer as text}}, or with error: {{\"message\": \
         …}} in place of content if you cannot. {GO_ON}"
    )
    .into();
    first["waiting"] = waiting.into();
    if !more.is_empty() {
        first["more"] = more.into();
        first["message"] = format!(
            "These are several requests: the first here, the others under more. Answer each as its \
             program's assistant, and give the answers as an array of replies. {}",
            first["message"].as_str().unwrap_or_default()
        )
        .into();
    }
    Outcome { more: images, ..Outcome::ok(first) }
}

/// The params of `sampling/createMessage`, as [`super::create_message`] writes them without tools.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    messages: Vec<Message>,
    system_prompt: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Value,
}

/// A request as a model reads it; its images are added to `images`.
fn request(lease: &Lease, images: &mut Vec<Value>) -> Value {
    let offer = &lease.offer;
    let params: Params = match serde_json::from_str(&offer.params) {
        Ok(params) => params,
        // It was written by ourselves, so this is a bug; the text holds all the same.
        Err(_) => Params {
            messages: vec![Message { role: "user".into(), content: json!({"text": offer.params}) }],
            system_prompt: None,
            others: Map::new(),
        },
    };
    let system = params.system_prompt.map(|text| ("SYSTEM".to_owned(), text));
    let said = params.messages.into_iter().map(|Message { role, content }| {
        let text = match content.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => {
                images.push(content);
                format!("[image {}, behind this text]", images.len())
            }
        };
        (role.to_uppercase(), text)
    });
    let prompt: Vec<String> =
        system.into_iter().chain(said).map(|(who, text)| format!("{who}: {text}")).collect();
    let mut request = json!({
        "request_id": lease.handle.to_string(),
        "model": offer.model,
        "stream": offer.stream,
        "prompt": prompt.join("\n\n"),
        "params": params.others,
    });
    if !offer.tools.is_empty() {
        request["tools"] = offer.tools.clone().into();
    }
    if let Some(form) = offer.form {
        request["form"] = form.into();
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_as_long_as_it_asks_and_its_host_bears() {
        let seconds = Duration::from_secs;
        for (asked, usual, limit, wait) in [
            (None, 45, None, 45),
            (None, 45, Some(110), 45),
            (None, 200, Some(110), 110),
            (Some(600), 45, Some(110), 110),
            (Some(600), 45, None, 50),
            (Some(600), 90, None, 90),
            (Some(0), 45, None, 0),
        ] {
            let found = wait_of(asked.map(seconds), seconds(usual), limit.map(seconds));
            assert_eq!(found, seconds(wait), "{asked:?} {usual} {limit:?}");
        }
    }
}
