//! The typewriter: the events of a stream, in slices and with pauses where the settings say so.

use crate::chat::Event;
use crate::config::Pacing;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Events on their way to a client. Without pacing each is due at once.
pub struct Pacer {
    pacing: Option<Pacing>,
    queue: VecDeque<(usize, Event)>,
    next: Option<Instant>,
}

impl Pacer {
    /// An empty queue.
    pub fn new(pacing: Option<Pacing>) -> Self {
        Pacer { pacing, queue: VecDeque::new(), next: None }
    }

    /// Takes an event of `choice`; text is cut into slices.
    pub fn push(&mut self, choice: usize, event: Event) {
        match (self.pacing, event) {
            (Some(pacing), Event::Delta(text)) => {
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let end =
                        rest.char_indices().nth(pacing.chunk).map_or(rest.len(), |(at, _)| at);
                    let (slice, behind) = rest.split_at(end);
                    self.queue.push_back((choice, Event::Delta(slice.to_owned())));
                    rest = behind;
                }
            }
            (_, event) => self.queue.push_back((choice, event)),
        }
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When the next event is to be sent; `None` while there is none.
    pub fn due(&self) -> Option<Instant> {
        match (self.queue.is_empty(), self.next) {
            (true, _) => None,
            (false, next) => Some(next.unwrap_or_else(Instant::now)),
        }
    }

    /// Whether an event is to be sent at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.queue.is_empty() && self.next.is_none_or(|next| next <= now)
    }

    /// The next event, if it is to be sent at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<(usize, Event)> {
        if !self.is_due(now) {
            return None;
        }
        let (choice, event) = self.queue.pop_front()?;
        if let (Some(pacing), Event::Delta(text)) = (self.pacing, &event) {
            self.next = Some(now + pause(pacing, text));
        }
        Some((choice, event))
    }
}

fn pause(pacing: Pacing, slice: &str) -> Duration {
    let more = match slice.chars().next_back() {
        Some('。' | '！' | '？' | '.' | '!' | '?' | '；' | ';' | '：' | ':' | '\n') => {
            pacing.punctuation
        }
        Some('，' | '、' | ',') => pacing.punctuation / 2,
        _ => Duration::ZERO,
    };
    pacing.interval + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::StopReason;

    #[test]
    fn slices_keep_the_text_and_leave_in_time() {
        let milli = Duration::from_millis;
        let pacing = Pacing { chunk: 2, interval: milli(10), punctuation: milli(90) };
        let mut pacer = Pacer::new(Some(pacing));
        let done = Event::Done { stop: StopReason::EndTurn, model: None };
        pacer.push(0, Event::Delta("a你. b,c".into()));
        pacer.push(0, done.clone());
        let mut now = Instant::now();
        let mut seen = Vec::new();
        while let Some((_, event)) = pacer.pop(now) {
            let wait = pacer.due().map(|due| (due - now).as_millis());
            seen.push((event, wait));
            now = pacer.due().unwrap_or(now);
        }
        let text = |text: &str, wait| (Event::Delta(text.into()), Some(wait));
        let expected =
            [text("a你", 10), text(". ", 10), text("b,", 55), text("c", 10), (done, None)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn without_pacing_all_is_due_at_once() {
        let mut pacer = Pacer::new(None);
        pacer.push(1, Event::Delta("long text".into()));
        pacer.push(1, Event::Delta("more".into()));
        let now = Instant::now();
        assert_eq!(pacer.pop(now), Some((1, Event::Delta("long text".into()))));
        assert_eq!(pacer.pop(now), Some((1, Event::Delta("more".into()))));
        assert!(pacer.is_empty() && pacer.pop(now).is_none());
    }
}
