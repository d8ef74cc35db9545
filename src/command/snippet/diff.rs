//! Shows what a change would do to a file, as a unified diff with one line around each change.

/// Lines around a change that are shown.
const AROUND: usize = 1;
/// The most pairs of lines that are compared; beyond these all that differs is one change.
const MOST_PAIRS: usize = 4_000_000;

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Kept(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The difference of two texts under the name of their file, each line as `shown` has it.
pub fn unified(
    name: &str,
    before: Option<&str>,
    after: Option<&str>,
    shown: impl Fn(&str) -> String,
) -> String {
    let named = |text: Option<&str>| if text.is_some() { name } else { "/dev/null" };
    let mut out = format!("--- {}\n+++ {}\n", named(before), named(after));
    let old: Vec<&str> = before.unwrap_or_default().lines().collect();
    let new: Vec<&str> = after.unwrap_or_default().lines().collect();
    let lines = lines(&old, &new);
    let is_kept = |line: &Line| matches!(line, Line::Kept(_));
    // Where the changes are, each with what is around it.
    let mut hunks = Vec::<std::ops::Range<usize>>::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| !is_kept(line)) {
        let range = at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len());
        match hunks.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = range.end,
            None => hunks.push(range),
        }
    }
    for hunk in hunks {
        let (above, inside) = (lines.get(..hunk.start), lines.get(hunk));
        let (above, inside) = (above.unwrap_or_default(), inside.unwrap_or_default());
        let place = |other: fn(&Line) -> bool| {
            let count = |lines: &[Line]| lines.iter().filter(|line| !other(line)).count();
            let (start, length) = (count(above), count(inside));
            // An empty run is told by the line before it.
            format!("{},{length}", if length == 0 { start } else { start + 1 })
        };
        let old = place(|line| matches!(line, Line::New(_)));
        let new = place(|line| matches!(line, Line::Gone(_)));
        out += &format!("@@ -{old} +{new} @@\n");
        for line in inside {
            let (sign, line) = match line {
                Line::Kept(line) => (' ', line),
                Line::Gone(line) => ('-', line),
                Line::New(line) => ('+', line),
            };
            out += &format!("{sign}{}\n", shown(line));
        }
    }
    out
}

/// What becomes of all lines, by the longest run of lines that both texts have.
fn lines<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let (_, old_rest) = old.split_at(head);
    let (kept, new_rest) = new.split_at(head);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let (old, _) = old_rest.split_at(old_rest.len() - tail);
    let (new, end) = new_rest.split_at(new_rest.len() - tail);
    let mut lines: Vec<Line> = kept.iter().map(|line| Line::Kept(line)).collect();
    let width = new.len() + 1;
    // How many lines are common from this pair on.
    let mut common = vec![0_u32; 1];
    if old.len().saturating_mul(new.len()) <= MOST_PAIRS {
        common = vec![0; (old.len() + 1) * width];
        for (a, line) in old.iter().enumerate().rev() {
            for (b, other) in new.iter().enumerate().rev() {
                let at = |a: usize, b: usize| common.get(a * width + b).copied().unwrap_or(0);
                let most = match line == other {
                    true => at(a + 1, b + 1) + 1,
                    false => at(a + 1, b).max(at(a, b + 1)),
                };
                if let Some(cell) = common.get_mut(a * width + b) {
                    *cell = most;
                }
            }
        }
    }
    let at = |a: usize, b: usize| common.get(a * width + b).copied().unwrap_or(0);
    let (mut a, mut b) = (0, 0);
    loop {
        match (old.get(a), new.get(b)) {
            (Some(line), Some(other)) if line == other && at(a, b) > at(a + 1, b + 1) => {
                lines.push(Line::Kept(line));
                (a, b) = (a + 1, b + 1);
            }
            (Some(line), other) if other.is_none() || at(a + 1, b) >= at(a, b + 1) => {
                lines.push(Line::Gone(line));
                a += 1;
            }
            (_, Some(other)) => {
                lines.push(Line::New(other));
                b += 1;
            }
            (_, None) => break,
        }
    }
    lines.extend(end.iter().map(|line| Line::Kept(line)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_a_line_around() {
        let diff = |a: Option<&str>, b: Option<&str>| unified("f", a, b, str::to_owned);
        for (before, after, expected) in [
            (None, Some("a\nb\n"), "--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n"),
            (Some("a\n"), None, "--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n"),
            (
                Some("a\nb\nc\nd\ne\nf\ng\nh\n"),
                Some("a\nb\nx\nc\nd\ne\nf\nh\n"),
                "--- f\n+++ f\n@@ -2,2 +2,3 @@\n b\n+x\n c\n@@ -6,3 +7,2 @@\n f\n-g\n h\n",
            ),
            (
                Some("a\nb\nc\n"),
                Some("a\nB\nc\n"),
                "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n",
            ),
        ] {
            assert_eq!(diff(before, after), expected);
        }
        let many = |word: &str| (0..3000).map(|at| format!("{word}{at}\n")).collect::<String>();
        assert_eq!(diff(Some(&many("a")), Some(&many("b"))).lines().count(), 6003);
    }
}
