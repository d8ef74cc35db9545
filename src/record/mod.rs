//! What happened: lines on stderr, the ring of recent events, the audit file, the figures, and what the
//! page shows of each request. Nothing here makes a request wait.

pub mod address;
pub mod audit;
pub mod events;
pub mod live;
pub mod log;
pub mod metrics;

use audit::Audit;
use audit::entry::{Rx, Tx};
use live::Live;
use metrics::Metrics;
use std::sync::Arc;

/// Those who are told of each request and of how it was answered.
pub struct Records {
    /// The audit file.
    pub audit: Audit,
    /// The figures.
    pub metrics: Metrics,
    /// What the page shows, unless it is switched off.
    pub live: Option<Arc<Live>>,
}

impl Records {
    /// Tells that a request came.
    pub fn rx(&self, rx: &Rx) {
        if rx.asked.is_probe {
            return;
        }
        if self.audit.is_on() {
            self.audit.rx(rx);
        }
        if let Some(live) = &self.live {
            live.rx(rx);
        }
    }

    /// Tells how a request was answered. One that only looks whether we are there is counted, and no news.
    pub fn tx(&self, tx: &Tx) {
        self.metrics.tx(tx);
        if tx.asked.is_probe {
            return;
        }
        if self.audit.is_on() {
            self.audit.tx(tx);
        }
        if let Some(live) = &self.live {
            live.tx(tx);
        }
    }

    /// Whether the text of an answer is of use to any of them.
    pub fn want_text(&self) -> bool {
        self.audit.is_on() || self.live.as_ref().is_some_and(|live| live.keeps_bodies())
    }
}
