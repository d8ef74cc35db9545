//! Where each choice of a request is: with nobody, in a line, or with a host. What a host does not
//! answer in time, or gives back, is asked for again, by the way that is open then.

use super::answer::Answer;
use super::reading::{Read, Reading};
use super::waiting::Woken;
use super::{Broken, Trip};
use crate::chat::{Ask, Event, Failure, FailureKind};
use crate::exchange::{CallId, Ended, Note, Ticket};
use crate::host::fetching::Fetching;
use crate::host::{Errand, Place, Way};
use std::io;
use std::time::Instant;

/// A request that was asked for, or waits for somebody to ask.
pub(super) struct Asked<'t, 'a> {
    trip: &'t Trip<'a>,
    pub ticket: Ticket,
    reading: Reading,
    pub answer: Answer,
    posts: Vec<Post<'a>>,
}

/// One choice.
#[derive(Clone, Copy, Default)]
struct Post<'a> {
    /// The way that was asked; none while no host is there.
    way: Option<&'a dyn Way>,
    at: At,
    /// When to look at it again.
    look: Option<Instant>,
    /// How often it was with a host that did not answer.
    unanswered: u32,
    /// Since when no host is there.
    alone: Option<Instant>,
}

/// Where a choice is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// With nobody.
    #[default]
    Nobody,
    /// On offer, where hosts fetch requests.
    Offers,
    /// With a host that may never answer.
    Leased,
    /// In line for a host.
    Line,
    /// With a host that answers.
    Host,
}

impl<'t, 'a> Asked<'t, 'a> {
    /// Puts the question for every choice.
    ///
    /// # Errors
    /// Nobody can be asked, and nobody is to be waited for; or the host refused.
    pub fn new(
        trip: &'t Trip<'a>,
        ask: &mut Ask,
        ticket: Ticket,
        answer: Answer,
    ) -> Result<Self, Failure> {
        let hosts = &trip.relay.hosts;
        let native = hosts.choose().is_ok_and(|way| way.takes_tools());
        let choices = answer.choices.len();
        let mut asked = Asked {
            trip,
            ticket,
            reading: Reading::new(ask, choices, native),
            answer,
            posts: vec![Post::default(); choices],
        };
        for choice in 0..choices {
            if let Err(failure) = asked.place(choice, ask) {
                asked.close(Ended::Failed, &failure.message);
                return Err(failure);
            }
        }
        Ok(asked)
    }

    /// Estimates the tokens of the prompt.
    pub fn count_prompt(&mut self, ask: &Ask) {
        self.answer.prompt = ask.estimate_tokens() - self.reading.words_tokens(ask);
    }

    /// Whether it waits for a host to appear.
    pub fn is_homeless(&self) -> bool {
        self.posts.iter().all(|post| post.way.is_none())
    }

    /// When the first of them is to be looked at.
    pub fn look(&self) -> Option<Instant> {
        self.posts.iter().filter_map(|post| post.look).min()
    }

    /// Asks for one choice by the way that is open.
    fn place(&mut self, choice: usize, ask: &mut Ask) -> Result<(), Failure> {
        let relay = self.trip.relay;
        let Some(post) = self.posts.get(choice).copied() else { return Ok(()) };
        let now = Instant::now();
        let alone = post.alone.unwrap_or(now);
        let host_until = alone + relay.host_wait;
        let chosen = match relay.hosts.fallback() {
            // The hosts had their chance.
            Some(fallback) if post.unanswered > relay.announce_again => Ok(fallback),
            _ => relay.hosts.choose(),
        };
        let (way, alone) = match chosen {
            Ok(way) => (Some(way), None),
            // It stays where hosts fetch requests, should one come; and whoever has not answered
            // yet may still do so.
            Err(_) if now < host_until || post.at == At::Leased => (None, Some(alone)),
            Err(failure) => return Err(failure),
        };
        match (self.put(choice, way, alone, ask), relay.hosts.fallback()) {
            // The host does not read, or has closed its end.
            (Err(failure), Some(fallback))
                if failure.kind == FailureKind::Unavailable
                    && way.is_some_and(|way| way.name() != fallback.name()) =>
            {
                self.put(choice, Some(fallback), None, ask)
            }
            (done, _) => done,
        }
    }

    /// Asks for one choice by this way, or offers it to whoever may come; nobody was there `alone`
    /// since then.
    fn put(
        &mut self,
        choice: usize,
        way: Option<&'a dyn Way>,
        alone: Option<Instant>,
        ask: &mut Ask,
    ) -> Result<(), Failure> {
        let (trip, relay) = (self.trip, self.trip.relay);
        let Some(post) = self.posts.get(choice).copied() else { return Ok(()) };
        let now = Instant::now();
        let is_new = way.map(Way::name) != post.way.map(Way::name);
        let native = way.is_some_and(|way| way.takes_tools());
        let asker = way.unwrap_or(&relay.hosts.pull);
        let id = self.id(choice);
        let (at, look) = if post.at == At::Offers
            && let Some(fetching) = asker.fetching()
            && self.reading.suits(ask, native)
        {
            // It keeps its place.
            if let Some(way) = way {
                trip.goes_by(way, ask);
            }
            (At::Offers, fetching.until().or(Some(now)))
        } else {
            if post.at == At::Offers && !relay.hosts.offers.withdraw(id) {
                // A host fetches it in this very moment, which a note is about to say.
                self.set(choice, Post { look: None, ..post });
                return Ok(());
            }
            if is_new && let Some(before) = post.way {
                before.withdraw(id, "another host is asked");
            }
            let errand = Errand {
                id,
                tenant: trip.visit.caller.tenant(),
                since: trip.started,
                again: !is_new && post.way.is_some(),
                deadline: trip.deadline(),
            };
            if let Some(way) = way {
                // Told first: the host may have answered before the way returns.
                trip.goes_by(way, ask);
            }
            match self.reading.put(choice, ask, native, |ask| asker.ask(ask, &errand))? {
                Place::Asked => (At::Host, None),
                Place::Line => (At::Line, None),
                Place::Leased(until) => (At::Leased, Some(until)),
                Place::Offered(until) => (At::Offers, until.or(Some(now))),
            }
        };
        let look = match (way, post.at) {
            (Some(_), _) => look,
            // Whoever has it may answer for as long as somebody waits.
            (None, At::Leased) => None,
            // A way may open without a host of its own that says so.
            (None, _) => {
                let host_until = alone.unwrap_or(now) + relay.host_wait;
                Some(host_until.min(now + relay.lease))
            }
        };
        self.set(choice, Post { way, at, look, alone, ..post });
        Ok(())
    }

    fn id(&self, choice: usize) -> CallId {
        self.ticket.ids().get(choice).copied().unwrap_or(self.trip.visit.id)
    }

    fn set(&mut self, choice: usize, post: Post<'a>) {
        if let Some(place) = self.posts.get_mut(choice) {
            *place = post;
        }
    }

    /// Takes a note on one choice; what of it the client gets now.
    fn take(&mut self, choice: usize, note: Note, ask: &mut Ask) -> Result<Vec<Event>, Failure> {
        let Some(post) = self.posts.get(choice).copied() else { return Ok(Vec::new()) };
        match note {
            Note::Events(events) => return self.answered(choice, events, ask),
            // It has gone elsewhere in that very moment.
            Note::Leased { handle, .. } | Note::Returned(handle, _)
                if self.trip.relay.exchange.has_moved(handle) => {}
            Note::Leased { way, until, .. } => {
                let way = self.trip.relay.hosts.named(way);
                if let Some(way) = way {
                    self.trip.goes_by(way, ask);
                }
                let (look, alone) = (Some(until), None);
                self.set(choice, Post { way, at: At::Leased, look, alone, ..post });
            }
            Note::Returned(_, hold) if matches!(post.at, At::Leased | At::Line | At::Host) => {
                let offered = self.offer_again(choice, ask, true);
                drop(hold);
                offered?;
            }
            Note::Turn if post.at == At::Line => self.place(choice, ask)?,
            Note::Hosts if post.at == At::Offers => self.stay_or_move(choice, ask)?,
            // It has been placed elsewhere since, or has no need to move.
            Note::Returned(..) | Note::Turn | Note::Hosts => {}
        }
        Ok(Vec::new())
    }

    /// Takes events of one choice.
    fn answered(
        &mut self,
        choice: usize,
        events: Vec<Event>,
        ask: &mut Ask,
    ) -> Result<Vec<Event>, Failure> {
        let Some(post) = self.posts.get(choice).copied() else { return Ok(Vec::new()) };
        if matches!(post.at, At::Offers | At::Leased) {
            // Whoever has begun to answer goes on, though its time may have been up.
            self.trip.relay.hosts.offers.withdraw(self.id(choice));
        }
        let is_over = events.last().is_some_and(Event::is_last);
        let Read { events, again } = self.reading.take(choice, events)?;
        if again && self.ticket.again(choice).is_some() {
            self.set(choice, Post::default());
            self.place(choice, ask)?;
        } else if is_over {
            self.set(choice, Post { at: At::Nobody, look: None, ..post });
        } else if matches!(post.at, At::Offers | At::Leased) {
            let look = Some(Instant::now() + self.trip.relay.lease);
            self.set(choice, Post { at: At::Leased, look, ..post });
        }
        Ok(events)
    }

    /// Does what a wait came to; what the client gets now, by choice.
    ///
    /// # Errors
    /// The client is gone, its time is up, the host failed, or nobody is left to ask.
    pub fn wake(&mut self, woken: Woken, ask: &mut Ask) -> Result<Vec<(usize, Event)>, Broken> {
        let mut got = Vec::new();
        match woken {
            Woken::Note(choice, note) => {
                let events = self.take(choice, note, ask)?;
                got.extend(events.into_iter().map(|event| (choice, event)));
            }
            Woken::Due => {}
            Woken::Gone => return Err(Broken::Gone(io::ErrorKind::ConnectionAborted.into())),
            Woken::Expired => return Err(self.trip.expired().into()),
        }
        self.look_again(Instant::now(), ask)?;
        Ok(got)
    }

    /// Looks at every choice whose time has come.
    fn look_again(&mut self, now: Instant, ask: &mut Ask) -> Result<(), Failure> {
        for choice in 0..self.posts.len() {
            let Some(post) = self.posts.get(choice).copied() else { continue };
            if post.look.is_none_or(|look| look > now) {
                continue;
            }
            match post.at {
                At::Leased => self.offer_again(choice, ask, false)?,
                _ => self.stay_or_move(choice, ask)?,
            }
        }
        Ok(())
    }

    /// A choice on offer: stays so while its way is open.
    fn stay_or_move(&mut self, choice: usize, ask: &mut Ask) -> Result<(), Failure> {
        let relay = self.trip.relay;
        let Some(post) = self.posts.get(choice).copied() else { return Ok(()) };
        let now = Instant::now();
        match (relay.hosts.choose(), post.way) {
            (Ok(way), Some(before))
                if way.name() == before.name() && self.reading.suits(ask, way.takes_tools()) =>
            {
                let until = way.fetching().and_then(Fetching::until);
                let look = until.or(Some(now + relay.lease));
                self.set(choice, Post { look, ..post });
                Ok(())
            }
            (Err(_), None) if post.look.is_none_or(|look| look > now) => Ok(()),
            _ => self.place(choice, ask),
        }
    }

    /// A choice that a host had and gave back, or did not answer in time.
    fn offer_again(&mut self, choice: usize, ask: &mut Ask, returned: bool) -> Result<(), Failure> {
        let relay = self.trip.relay;
        let Some(post) = self.posts.get(choice).copied() else { return Ok(()) };
        let unanswered = post.unanswered + u32::from(post.at == At::Leased);
        if self.reading.has_begun(choice) {
            // Somebody is in the middle of it; another would begin from the start.
            let look = Some(Instant::now() + relay.lease);
            self.set(choice, Post { look, ..post });
        } else if unanswered <= relay.announce_again || relay.hosts.fallback().is_some() {
            let at = if returned { At::Nobody } else { At::Leased };
            self.set(choice, Post { unanswered, at, look: None, ..post });
            self.place(choice, ask)?;
        } else if returned {
            let said = format!(
                "the MCP host took the request {unanswered} times and gave no answer; \
                 MODELTAP_ANNOUNCE_AGAIN sets how often it is offered again"
            );
            return Err(Failure::new(FailureKind::Upstream, said));
        } else {
            // Whoever had it last may still answer, until nobody waits any more.
            self.set(choice, Post { look: None, ..post });
        }
        Ok(())
    }

    /// Ends what is not over, and tells the hosts that have it.
    pub fn close(&self, how: Ended, reason: &str) {
        let hosts = &self.trip.relay.hosts;
        let closed = self.ticket.close(how);
        for (id, post) in self.ticket.ids().iter().zip(&self.posts) {
            if closed.contains(id) {
                post.way.unwrap_or(&hosts.pull).withdraw(*id, reason);
            } else if matches!(post.at, At::Offers | At::Leased) {
                // It was answered in that very moment.
                hosts.offers.withdraw(*id);
            }
        }
    }
}

impl Drop for Asked<'_, '_> {
    fn drop(&mut self) {
        self.close(Ended::Cancelled, "nobody waits for it any more");
    }
}
