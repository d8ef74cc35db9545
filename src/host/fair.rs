//! A line in which whoever comes first is served first, and no API key waits behind another key's
//! crowd: keys take turns, and within a key the order of arrival holds.

use crate::exchange::Tenant;
use std::collections::VecDeque;
use std::time::Instant;

/// The line.
#[derive(Debug)]
pub struct Fair<T> {
    /// The key whose turn is next stands first. None of the lines is empty.
    lines: VecDeque<(Tenant, Line<T>)>,
}

/// What waits of one key, with the time of its arrival, the oldest first.
type Line<T> = VecDeque<(Instant, T)>;

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Fair { lines: VecDeque::new() }
    }
}

impl<T> Fair<T> {
    /// Puts one in its key's line, behind those that arrived before it.
    pub fn push(&mut self, tenant: Tenant, since: Instant, item: T) {
        match self.lines.iter_mut().find(|(owner, _)| *owner == tenant) {
            Some((_, line)) => {
                let before = line.iter().rposition(|(other, _)| *other <= since);
                line.insert(before.map_or(0, |before| before + 1), (since, item));
            }
            None => self.lines.push_back((tenant, VecDeque::from([(since, item)]))),
        }
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_where(|_| true)
    }

    /// Takes the next one that fits; the others keep their places.
    pub fn pop_where(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let (at, within) = self.find(fits)?;
        let (tenant, mut line) = self.lines.remove(at)?;
        let item = line.remove(within);
        if !line.is_empty() {
            self.lines.push_back((tenant, line));
        }
        item.map(|(_, item)| item)
    }

    /// Takes out the one that fits; `None` when it is not in the line.
    pub fn remove(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let (at, within) = self.find(fits)?;
        let (_, line) = self.lines.get_mut(at)?;
        let item = line.remove(within);
        if line.is_empty() {
            self.lines.remove(at);
        }
        item.map(|(_, item)| item)
    }

    /// The place of the first one that fits: of the key, and within its line.
    fn find(&self, fits: impl Fn(&T) -> bool) -> Option<(usize, usize)> {
        let within = |line: &Line<T>| line.iter().position(|(_, item)| fits(item));
        let mut lines = self.lines.iter().enumerate();
        lines.find_map(|(at, (_, line))| Some((at, within(line)?)))
    }

    /// Whether one that fits waits.
    pub fn has(&self, fits: impl Fn(&T) -> bool) -> bool {
        self.find(fits).is_some()
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
    use std::time::Duration;

    fn all(mut line: Fair<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| line.pop()).collect()
    }

    #[test]
    fn keys_take_turns_and_within_a_key_the_order_of_arrival_holds() {
        let (mut line, now) = (Fair::default(), Instant::now());
        for (tenant, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            line.push(tenant, now, item);
        }
        assert_eq!(line.len(), 6);
        assert_eq!(all(line), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn who_comes_back_stands_where_it_stood_and_who_leaves_is_not_missed() {
        let (mut line, now) = (Fair::default(), Instant::now());
        let at = |second| now + Duration::from_secs(second);
        for (tenant, second, item) in [(1, 2, "a2"), (1, 3, "a3"), (2, 0, "b1"), (1, 1, "a1")] {
            line.push(tenant, at(second), item);
        }
        assert_eq!(line.pop_where(|item| *item == "a3"), Some("a3"));
        assert_eq!(line.remove(|item| *item == "b1"), Some("b1"));
        assert_eq!(line.remove(|item| *item == "b1"), None);
        assert_eq!(all(line), ["a1", "a2"]);
        let empty: Fair<&str> = Fair::default();
        assert!(empty.is_empty() && all(empty).is_empty());
    }
}
