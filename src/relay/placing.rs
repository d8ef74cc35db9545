//! Where each choice of a request is: with nobody, in a line, or with a host. What a host does not
//! answer in time, or gives back, is asked for again, by the way that is open then.

use super::answer::Answer;
use super::reading::{Read, Reading};
use super::waiting::Woken;
use super::{Broken, Trip};
use crate::chat::{Ask, Event, Failure, FailureKind};
use crate::exchange::{CallId, Ended, Note, Ticket};
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
    /// Until when it may wait for a host.
    host_until: Instant,
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
}

/// Where a choice is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// With nobody.
    #[default]
    Nobody,
    /// Where hosts fetch requests.
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
            host_until: trip.started + trip.relay.host_wait,
        };
        for choice in 0..choices {
            if let Err(failure) = asked.place(choice, ask) {
                asked.close(Ended::Failed, &failure.message);
                return Err(failure);
            }
        }
        Ok(asked)
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
        let chosen = match relay.hosts.fallback() {
            // The hosts had their chance.
            Some(fallback) if post.unanswered > relay.announce_again => Ok(fallback),
            _ => relay.hosts.choose(),
        };
        let way = match chosen {
            Ok(way) => Some(way),
            // It stays where hosts fetch requests, should one come; and whoever has not answered
            // yet may still do so.
            Err(_) if Instant::now() < self.host_until || post.at == At::Leased => None,
            Err(failure) => return Err(failure),
        };
        match (self.put(choice, way, ask), relay.hosts.fallback()) {
            // The host does not read, or is closed.
            (Err(failure), Some(fallback))
                if failure.kind == FailureKind::Unavailable
                    && way.is_some_and(|way| way.name() != fallback.name()) =>
            {
                self.put(choice, Some(fallback), ask)
            }
            (put, _) => put,
        }
    }

    /// Asks for one choice by this way, or offers it to whoever may come.
    fn put(
        &mut self,
        choice: usize,
        way: Option<&'a dyn Way>,
        ask: &mut Ask,
    ) -> Result<(), Failure> {
        let relay = self.trip.relay;
        let Some(post) = self.posts.get(choice).copied() else { return Ok(()) };
        let same = match (way, post.way) {
            (Some(way), Some(before)) => way.name() == before.name(),
            (None, None) => post.at == At::Offers,
            _ => false,
        };
        if same && post.at == At::Offers {
            // Nobody has had it, so that it keeps its place in the line.
            return Ok(());
        }
        let pull = &relay.hosts.pull;
        if let Some(way) = way
            && (post.at, post.way.is_none()) == (At::Offers, true)
            && way.name() == pull.name()
        {
            // What is offered to whoever may come stands there already as this way offers it.
            self.trip.goes_by(way, ask);
            let look = pull.fetching.until().or_else(|| Some(Instant::now()));
            self.set(choice, Post { way: Some(way), look, ..post });
            return Ok(());
        }
        let id = self.id(choice);
        if post.at == At::Offers && !relay.hosts.offers.withdraw(id) {
            // A host fetches it in this very moment, which a note is about to say.
            self.set(choice, Post { look: None, ..post });
            return Ok(());
        }
        if !same && let Some(before) = post.way {
            before.withdraw(id, "another host is asked");
        }
        let trip = self.trip;
        let errand = Errand { id, tenant: trip.tenant, again: same, deadline: trip.deadline() };
        if let Some(way) = way {
            // Told first: the host may have answered before the way returns.
            trip.goes_by(way, ask);
        }
        let native = way.is_some_and(|way| way.takes_tools());
        let asker = way.unwrap_or(&relay.hosts.pull);
        let place = self.reading.put(choice, ask, native, |ask| asker.ask(ask, &errand))?;
        let (at, look) = match place {
            Place::Asked => (At::Host, None),
            Place::Line => (At::Line, None),
            Place::Leased(until) => (At::Leased, Some(until)),
            Place::Offered(_) if way.is_none() && post.at == At::Leased => (At::Offers, None),
            Place::Offered(_) if way.is_none() => (At::Offers, Some(self.host_until)),
            Place::Offered(until) => (At::Offers, until),
        };
        self.set(choice, Post { way, at, look, ..post });
        Ok(())
    }

    fn id(&self, choice: usize) -> CallId {
        self.ticket.ids().get(choice).copied().unwrap_or(self.trip.id)
    }

    fn set(&mut self, choice: usize, post: Post<'a>) {
        if let Some(place) = self.posts.get_mut(choice) {
            *place = post;
        }
    }

    /// Takes a note on one choice; what of it the client gets now.
    fn take(&mut self, choice: usize, note: Note, ask: &mut Ask) -> Result<Vec<Event>, Failure> {
        let Some(post) = self.posts.get(choice).copied() else { return Ok(Vec::new()) };
        let relay = self.trip.relay;
        match note {
            Note::Stops(failure) => return Err(failure),
            Note::Events(events) => return self.answered(choice, events, ask),
            // It has gone elsewhere in that very moment.
            Note::Leased { handle, .. } | Note::Returned(handle)
                if relay.exchange.has_moved(handle) => {}
            Note::Leased { way, until, .. } => {
                let way = relay.hosts.named(way);
                if let Some(way) = way {
                    self.trip.goes_by(way, ask);
                }
                self.set(choice, Post { way, at: At::Leased, look: Some(until), ..post });
            }
            Note::Returned(_) => self.offer_again(choice, ask, true)?,
            Note::InWords if post.at == At::Offers => {
                self.set(choice, Post { at: At::Nobody, look: None, ..post });
                self.put(choice, Some(&relay.hosts.pull), ask)?;
            }
            Note::Turn if post.at == At::Line => self.place(choice, ask)?,
            Note::Hosts if post.way.is_none() => self.place(choice, ask)?,
            // It has been placed elsewhere since.
            Note::Turn | Note::Hosts | Note::InWords => {}
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
        let is_over = events.last().is_some_and(Event::is_last);
        if is_over && matches!(post.at, At::Offers | At::Leased) {
            self.trip.relay.hosts.offers.withdraw(self.id(choice));
        }
        let Read { events, again } = match self.reading.take(choice, events) {
            Ok(read) => read,
            // The host turned out not to be open to this; another may be, or come in time.
            Err(failure)
                if failure.kind == FailureKind::Unavailable
                    && post.at == At::Host
                    && !self.reading.has_begun(choice)
                    && self.ticket.again(choice).is_some() =>
            {
                self.set(choice, Post { unanswered: post.unanswered, ..Post::default() });
                return self.place(choice, ask).map(|()| Vec::new()).map_err(|_| failure);
            }
            Err(failure) => return Err(failure),
        };
        if again && self.ticket.again(choice).is_some() {
            self.set(choice, Post::default());
            self.place(choice, ask)?;
        } else if is_over {
            self.set(choice, Post { at: At::Nobody, look: None, ..post });
        } else if post.at == At::Leased {
            // Whoever has begun to answer goes on.
            let look = Some(Instant::now() + self.trip.relay.lease);
            self.set(choice, Post { look, ..post });
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

    /// A choice in a line: stays there while its way is open.
    fn stay_or_move(&mut self, choice: usize, ask: &mut Ask) -> Result<(), Failure> {
        let hosts = &self.trip.relay.hosts;
        let Some(post) = self.posts.get(choice).copied() else { return Ok(()) };
        let way = hosts.choose();
        let stays =
            matches!((&way, post.way), (Ok(way), Some(before)) if way.name() == before.name());
        match stays {
            true => {
                let look = Some(Instant::now() + self.trip.relay.lease);
                self.set(choice, Post { look, ..post });
                Ok(())
            }
            false => self.place(choice, ask),
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
