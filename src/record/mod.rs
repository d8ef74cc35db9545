//! What happened: lines on stderr, the ring of recent events, the audit file, the figures, and whoever
//! else is told of each request. Nothing here makes a request wait.

pub mod address;
pub mod audit;
pub mod events;
pub mod log;
pub mod metrics;

use audit::Audit;
use audit::entry::{Rx, Tx};
use metrics::Metrics;

/// Those who are told of each request and of how it was answered.
pub struct Records {
    /// The audit file.
    pub audit: Audit,
    /// The figures.
    pub metrics: Metrics,
}

impl Records {
    /// Tells that a request came.
    pub fn rx(&self, rx: &Rx) {
        if self.audit.is_on() && !rx.asked.is_probe {
            self.audit.rx(rx);
        }
    }

    /// Tells how a request was answered.
    pub fn tx(&self, tx: &Tx) {
        self.metrics.tx(tx);
        if self.audit.is_on() && !tx.asked.is_probe {
            self.audit.tx(tx);
        }
    }

    /// Whether the text of an answer is of use to any of them.
    pub fn want_text(&self) -> bool {
        self.audit.is_on()
    }
}
