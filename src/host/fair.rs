//! A line in which whoever comes first is served first, and no API key waits behind another key's
//! crowd: keys take turns, and within a key the order of arrival holds.

use crate::exchange::Tenant;
use std::collections::VecDeque;

/// The line.
#[derive(Debug)]
pub struct Fair<T> {
    /// The key whose turn is next stands first. None of the lines is empty.
    lines: VecDeque<(Tenant, VecDeque<T>)>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Fair { lines: VecDeque::new() }
    }
}

impl<T> Fair<T> {
    /// Puts one at the end of its key's line, or at its head if it has waited before.
    pub fn push(&mut self, tenant: Tenant, item: T, again: bool) {
        let line = match self.lines.iter().position(|(owner, _)| *owner == tenant) {
            Some(at) => self.lines.get_mut(at),
            None => {
                self.lines.push_back((tenant, VecDeque::new()));
                self.lines.back_mut()
            }
        };
        match line {
            Some((_, line)) if again => line.push_front(item),
            Some((_, line)) => line.push_back(item),
            None => {}
        }
    }

    /// The next one.
    pub fn peek(&self) -> Option<&T> {
        self.lines.front().and_then(|(_, line)| line.front())
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<T> {
        let (tenant, mut line) = self.lines.pop_front()?;
        let item = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((tenant, line));
        }
        item
    }

    /// Takes out the one that fits; `None` when it is not in the line.
    pub fn remove(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let place = |(at, (_, line)): (usize, &(Tenant, VecDeque<T>))| {
            line.iter().position(&fits).map(|within| (at, within))
        };
        let (at, within) = self.lines.iter().enumerate().find_map(place)?;
        let (_, line) = self.lines.get_mut(at)?;
        let item = line.remove(within);
        if line.is_empty() {
            self.lines.remove(at);
        }
        item
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.len()).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut line: Fair<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| line.pop()).collect()
    }

    #[test]
    fn keys_take_turns_and_within_a_key_the_order_of_arrival_holds() {
        let mut line = Fair::default();
        for (tenant, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            line.push(tenant, item, false);
        }
        assert_eq!(line.len(), 6);
        assert_eq!(all(line), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn who_comes_back_goes_first_and_who_leaves_is_not_missed() {
        let mut line = Fair::default();
        line.push(1, "a1", false);
        line.push(1, "a2", false);
        line.push(2, "b1", false);
        line.push(1, "a0", true);
        assert_eq!(line.remove(|item| *item == "b1"), Some("b1"));
        assert_eq!(line.remove(|item| *item == "b1"), None);
        assert_eq!(all(line), ["a0", "a1", "a2"]);
        let empty: Fair<&str> = Fair::default();
        assert!(empty.is_empty() && all(empty).is_empty());
    }
}
