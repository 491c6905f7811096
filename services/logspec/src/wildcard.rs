//! Shell wildcards as the existing worker has them: case counts; `*` and `?` also match `/`, `.` and line ends; `[abc]`,
//! `[a-z]`, `[!x]`; a bracket that is not closed is itself. Takes time in proportion to pattern times text at most.

/// Whether the pattern fits the whole text.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let pattern = pieces(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut piece, mut at) = (0, 0);
    // Where to go on when it does not fit: after the last star, one character further.
    let mut retry = None;
    loop {
        match (pattern.get(piece), text.get(at)) {
            (Some(Piece::Any), _) => {
                piece += 1;
                retry = Some((piece, at));
            }
            (Some(Piece::One(set)), Some(&c)) if set.has(c) => (piece, at) = (piece + 1, at + 1),
            (None, None) => return true,
            _ => match retry {
                Some((star, from)) if from < text.len() => {
                    (piece, at) = (star, from + 1);
                    retry = Some((star, from + 1));
                }
                _ => return false,
            },
        }
    }
}

enum Piece {
    /// A star.
    Any,
    /// One character of a set.
    One(Set),
}

struct Set {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&c)) != self.negated
    }
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let set = match pattern[at] {
            '*' => {
                pieces.push(Piece::Any);
                at += 1;
                continue;
            }
            '?' => Set { ranges: Vec::new(), negated: true },
            '[' => match set(&pattern[at + 1..]) {
                Some((set, length)) => {
                    at += length;
                    set
                }
                None => Set { ranges: vec![('[', '[')], negated: false },
            },
            c => Set { ranges: vec![(c, c)], negated: false },
        };
        pieces.push(Piece::One(set));
        at += 1;
    }
    pieces
}

/// The set that begins after a bracket, and its length with the closing bracket; nothing when it is not closed.
fn set(rest: &[char]) -> Option<(Set, usize)> {
    let negated = rest.first() == Some(&'!');
    let start = usize::from(negated);
    // A closing bracket at the very beginning is a member.
    let end = start + 1 + rest.get(start + 1..)?.iter().position(|&c| c == ']')?;
    let members = &rest[start..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        let last = if members.get(at + 1) == Some(&'-') { members.get(at + 2) } else { None };
        ranges.push((members[at], *last.unwrap_or(&members[at])));
        at += if last.is_some() { 3 } else { 1 };
    }
    Some((Set { ranges, negated }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn the_language_is_that_of_the_shell() {
        for (pattern, text, expected) in [
            ("boot", "boot", true),
            ("boot", "boot.x", false),
            ("boot*", "boot", true),
            ("boot*", "boot.a/b\nc", true),
            ("boot*", "Boot", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("?", "/", true),
            ("?", "é", true),
            ("*.b*c", "a.b.b.c", true),
            ("*.b*c", "a.b.b.d", false),
            ("[abc]", "b", true),
            ("[a-c]x", "bx", true),
            ("[a-c]", "d", false),
            ("[!a-c]", "d", true),
            ("[!a-c]", "a", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[!]]", "x", true),
            ("[]-a]", "^", true),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[z-a]", "b", false),
            ("[!z-a]", "b", true),
            ("[^a]", "^", true),
            ("[^a]", "b", false),
            ("[ab", "[ab", true),
            ("[", "[", true),
            ("[!", "[!", true),
            ("[]", "[]", true),
            ("a\\*", "a\\bc", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text:?}");
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let text = "a".repeat(10_000);
        assert!(!fits(&format!("{}b", "a*".repeat(30)), &text));
    }
}
