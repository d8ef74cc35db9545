//! The names of models: which are listed, and what the host is told for which.

/// The settings of names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// What `/v1/models` lists, in order.
    pub listed: Vec<String>,
    /// Globs, and the hint that goes to the host for what they match; the first that matches counts.
    pub aliases: Vec<(String, String)>,
}

impl Names {
    /// The hint for a model that was asked for by `name`, where one is set.
    pub fn hint(&self, name: &str) -> Option<&str> {
        let alias = self.aliases.iter().find(|(glob, _)| matches(glob, name))?;
        Some(&alias.1)
    }
}

/// Whether `name` fits `glob`, in which `*` stands for any text and `?` for one character.
pub fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match (glob.get(g), star) {
            (Some('*'), _) => {
                star = Some((g, n));
                g += 1;
            }
            (Some(c), _) if *c == '?' || Some(c) == name.get(n) => {
                g += 1;
                n += 1;
            }
            (_, Some((at, from))) => {
                star = Some((at, from + 1));
                g = at + 1;
                n = from + 1;
            }
            (_, None) => return false,
        }
    }
    glob.iter().skip(g).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, name, fits) in [
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "gpt", false),
            ("*sonnet*", "claude-sonnet-4-5", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("claude-?", "claude-3", true),
            ("claude-?", "claude-35", false),
            ("*", "", true),
            ("", "x", false),
            ("exact", "exact", true),
        ] {
            assert_eq!(matches(glob, name), fits, "{glob} {name}");
        }
    }
}
