//! The answer on its way to the client: whole, or piece by piece.

use super::pace::Pacer;
use super::placing::Asked;
use super::waiting::Woken;
use super::{Broken, Trip};
use crate::api::Parsed;
use crate::chat::{Event, Usage};
use crate::exchange::Note;
use crate::http::{Headers, Responder, Response};
use crate::record::events::Kind;
use std::time::{Duration, Instant};

/// How long a stream's head waits for the first event, to leave with it.
const HEAD_WAIT: Duration = Duration::from_millis(20);

/// Room for the events of a short stream, in bytes.
const SMALL: usize = 4096;

/// What is written at once rather than gathered with what follows it, in bytes.
const LARGE: usize = 64 * 1024;

impl Trip<'_> {
    /// Waits for all of the answer, and sends it.
    pub(super) fn whole(
        &self,
        parsed: &mut Parsed,
        asked: &mut Asked,
        responder: &mut dyn Responder,
    ) -> Result<Usage, Broken> {
        let deadline = self.deadline();
        while !asked.answer.is_whole() {
            let woken = self.wait(&asked.ticket, deadline, asked.look(), responder);
            for (choice, event) in asked.wake(woken, &mut parsed.ask)? {
                asked.answer.take(choice, event);
            }
        }
        let answer = &asked.answer;
        self.relay.learn(answer);
        let usage = answer.usage();
        let body = parsed.encoder.whole(&answer.choices, usage);
        self.relay.keep(&mut *parsed.encoder, self.visit.caller.owner());
        let mut response = Response::json(200, body);
        response.headers.extend(self.headers(answer.host_model.as_deref()));
        self.visit.ends(usage, false);
        responder.respond(&response).map_err(Broken::Gone)?;
        let text = answer.choices.first().map_or("", |choice| choice.text.as_str());
        self.note(Kind::Response, text, &[("backend", self.way.get().unwrap_or_default())]);
        Ok(usage)
    }

    /// Sends the answer piece by piece, as it comes.
    pub(super) fn streamed(
        &self,
        parsed: &mut Parsed,
        asked: &mut Asked,
        responder: &mut dyn Responder,
    ) -> Result<Usage, Broken> {
        let mut pacer = Pacer::new(self.relay.pacing);
        let mut out = Vec::new();
        let mut deadline = self.deadline();
        // When something must be written though nothing came.
        let mut silent_until = Instant::now() + HEAD_WAIT;
        loop {
            let until = [pacer.due(), asked.look(), Some(silent_until)].into_iter().flatten().min();
            let woken = self.wait(&asked.ticket, deadline, until, responder);
            if matches!(woken, Woken::Note(_, Note::Events(_))) {
                deadline = self.deadline();
                // Now, and not while it waits.
                out.reserve(SMALL);
            }
            for (choice, event) in asked.wake(woken, &mut parsed.ask)? {
                if matches!(event, Event::Delta(_) | Event::ToolCall(_)) {
                    self.chunk_note(&event);
                }
                pacer.push(choice, event);
            }
            let now = Instant::now();
            let (encoder, answer) = (&mut *parsed.encoder, &mut asked.answer);
            out.clear();
            if answer.begun.is_none() && (pacer.is_due(now) || now >= silent_until) {
                let mut headers: Headers = vec![
                    ("Content-Type", "text/event-stream".into()),
                    ("Cache-Control", "no-cache".into()),
                    ("X-Accel-Buffering", "no".into()),
                ];
                headers.extend(self.headers(answer.host_model.as_deref()));
                responder.begin(200, &headers).map_err(Broken::Gone)?;
                encoder.open(answer.usage(), &mut out);
                answer.begun = Some(now);
                silent_until = now + self.relay.keep_alive;
            }
            while let Some((choice, event)) = pacer.pop(now) {
                if matches!(event, Event::Delta(_) | Event::ToolCall(_)) {
                    answer.first_piece.get_or_insert(now);
                }
                encoder.event(choice, &event, &mut out);
                answer.take(choice, event);
                if out.len() >= LARGE {
                    responder.write(&out).map_err(Broken::Gone)?;
                    out = Vec::new();
                }
            }
            if answer.is_whole() && pacer.is_empty() {
                self.relay.learn(answer);
                let usage = answer.usage();
                encoder.close(&answer.choices, usage, &mut out);
                self.relay.keep(encoder, self.visit.caller.owner());
                self.visit.ends(usage, false);
                responder.end(&out).map_err(Broken::Gone)?;
                self.note(
                    Kind::ResponseDone,
                    "",
                    &[("backend", self.way.get().unwrap_or_default())],
                );
                return Ok(usage);
            }
            if out.is_empty() && now >= silent_until {
                out.extend_from_slice(encoder.keep_alive());
            }
            if !out.is_empty() {
                responder.write(&out).map_err(Broken::Gone)?;
                silent_until = Instant::now() + self.relay.keep_alive;
            }
        }
    }
}
