//! Patterns of java.util.regex in the syntax of the `regex` crate.
//!
//! In Java the classes `\d`, `\w`, `\s` and the POSIX classes are ASCII and `(?i)` folds ASCII letters, unless `(?u)`
//! or `(?U)` says otherwise; the `regex` crate takes Unicode everywhere. Syntax that the crate lacks (look-around,
//! back-references, possessive quantifiers) passes through and is refused by it.

/// Classes that may stand in each other; the crate's own limit is 250.
const CLASS_DEPTH_MAX: usize = 100;

/// The flags of a pattern that are resolved here.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// `i`
    fold: bool,
    /// `u`: folds beyond ASCII.
    unicode_case: bool,
    /// `U`: classes beyond ASCII.
    unicode_classes: bool,
}

/// The pattern as the `regex` crate reads it.
pub(crate) fn translate(pattern: &str) -> String {
    let mut translator = Translator {
        text: pattern.chars().collect(),
        at: 0,
        out: String::with_capacity(pattern.len() * 2),
        flags: Flags::default(),
        outer: Vec::new(),
        depth: 0,
    };
    translator.run();
    translator.out
}

#[derive(Debug)]
struct Translator {
    text: Vec<char>,
    at: usize,
    out: String,
    flags: Flags,
    /// Flags outside of each open group.
    outer: Vec<Flags>,
    /// Open classes.
    depth: usize,
}

/// An escape or character inside of a class.
enum Item {
    Char(char),
    /// Written as it is.
    Set(String),
}

impl Translator {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        Some(c)
    }

    fn run(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape(),
                '[' => self.class(),
                '(' => self.group(),
                ')' => {
                    self.out.push(')');
                    self.flags = self.outer.pop().unwrap_or(self.flags);
                }
                other => self.literal(other),
            }
        }
    }

    /// A character outside of classes; metacharacters keep their meaning.
    fn literal(&mut self, c: char) {
        if !self.flags.fold || !c.is_alphabetic() {
            self.out.push(c);
        } else if self.flags.unicode_case {
            self.out.push_str(&format!("(?i:{c})"));
        } else if c.is_ascii_alphabetic() {
            self.out.push_str(&format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()));
        } else {
            self.out.push(c);
        }
    }

    fn group(&mut self) {
        self.outer.push(self.flags);
        self.out.push('(');
        if self.peek(0) != Some('?') {
            return;
        }
        let flags: String =
            self.text[self.at + 1..].iter().take_while(|c| c.is_ascii_alphabetic() || **c == '-').collect();
        let end = self.peek(1 + flags.len());
        if !flags.is_empty() && matches!(end, Some(')' | ':')) {
            self.at += 2 + flags.len();
            self.inline_flags(&flags, end == Some(':'));
            return;
        }
        // The name of a group must not be folded.
        while let Some(c) = self.next() {
            self.out.push(c);
            if matches!(c, '>' | ':' | '=' | '!' | '#') {
                break;
            }
        }
    }

    /// `(?flags)` or `(?flags:`, whose bracket is written already.
    fn inline_flags(&mut self, flags: &str, is_group: bool) {
        let (mut on, mut off, mut value) = (String::new(), String::new(), true);
        for flag in flags.chars() {
            match flag {
                '-' => value = false,
                'i' => self.flags.fold = value,
                'u' => self.flags.unicode_case = value,
                'U' => {
                    self.flags.unicode_case = value;
                    self.flags.unicode_classes = value;
                }
                // Lines end at \n alone, always.
                'd' => {}
                other if value => on.push(other),
                other => off.push(other),
            }
        }
        let dash = if off.is_empty() { "" } else { "-" };
        if is_group {
            self.out.push_str(&format!("?{on}{dash}{off}:"));
            return;
        }
        // It was no group: the flags hold up to the end of the one around it.
        self.outer.pop();
        if on.is_empty() && off.is_empty() {
            self.out.pop();
        } else {
            self.out.push_str(&format!("?{on}{dash}{off})"));
        }
    }

    /// What follows a backslash outside of classes.
    fn escape(&mut self) {
        let Some(c) = self.next() else {
            self.out.push('\\');
            return;
        };
        match c {
            'd' | 'w' | 's' | 'h' | 'v' | 'D' | 'W' | 'S' | 'H' | 'V' | 'p' | 'P' => {
                let set = self.set(c);
                self.out.push_str(&format!("[{set}]"));
            }
            'R' => self.out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}])"),
            'Q' => self.quoted(),
            'x' | 'u' | 'e' | 'c' => match self.coded(c) {
                Some(c) => {
                    let escaped = regex::escape(&c.to_string());
                    if c.is_alphabetic() { self.literal(c) } else { self.out.push_str(&escaped) }
                }
                None => self.out.push_str(&format!("\\{c}")),
            },
            '<' | '>' => self.out.push(c),
            other => self.out.push_str(&format!("\\{other}")),
        }
    }

    /// `\Q…\E`, behind the Q.
    fn quoted(&mut self) {
        while let Some(c) = self.next() {
            if c == '\\' && self.peek(0) == Some('E') {
                self.at += 1;
                return;
            }
            if c.is_alphabetic() {
                self.literal(c);
            } else {
                self.out.push_str(&regex::escape(&c.to_string()));
            }
        }
    }

    /// The character of `\xhh`, `\x{h…}`, `\uhhhh`, `\e` or `\cX`, behind the letter. None if it is none.
    fn coded(&mut self, letter: char) -> Option<char> {
        let digits: String = match letter {
            'e' => return Some('\x1B'),
            'c' => return self.next().and_then(|c| char::from_u32(u32::from(c) ^ 64)),
            'x' if self.peek(0) == Some('{') => {
                let rest = self.text[self.at + 1..].iter();
                rest.take_while(|c| c.is_ascii_hexdigit()).collect()
            }
            _ => {
                let count = if letter == 'x' { 2 } else { 4 };
                self.text[self.at..].iter().take(count).collect()
            }
        };
        let braces = if letter == 'x' && self.peek(0) == Some('{') { 2 } else { 0 };
        let c = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?;
        self.at += digits.chars().count() + braces;
        Some(c)
    }

    /// A predefined class, as it stands inside of brackets. `letter` is the one behind the backslash.
    fn set(&mut self, letter: char) -> String {
        if matches!(letter, 'p' | 'P') {
            return self.property(letter == 'P');
        }
        if self.flags.unicode_classes && matches!(letter, 'd' | 'w' | 's' | 'D' | 'W' | 'S') {
            return format!("\\{letter}");
        }
        let content = match letter.to_ascii_lowercase() {
            'd' => "0-9",
            'w' => "A-Za-z0-9_",
            's' => "\\x20\\t\\n\\x0B\\f\\r",
            'h' => "\\x20\\t\\x{A0}\\x{1680}\\x{180E}\\x{2000}-\\x{200A}\\x{202F}\\x{205F}\\x{3000}",
            _ => "\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}",
        };
        if letter.is_ascii_uppercase() { format!("[^{content}]") } else { content.to_owned() }
    }

    /// `\p{…}`, behind the p.
    fn property(&mut self, negated: bool) -> String {
        let name: String = if self.peek(0) == Some('{') {
            self.text[self.at + 1..].iter().take_while(|c| **c != '}').collect()
        } else {
            self.peek(0).into_iter().collect()
        };
        self.at += name.chars().count() + if self.peek(0) == Some('{') { 2 } else { 0 };
        let cased = ["Lower", "Upper"].contains(&name.as_str());
        let posix = match name.as_str() {
            _ if self.flags.unicode_classes => None,
            _ if cased && self.flags.fold => Some("alpha".to_owned()),
            "Lower" | "Upper" | "ASCII" | "Alpha" | "Digit" | "Alnum" | "Punct" | "Graph" | "Print"
            | "Blank" | "Cntrl" | "XDigit" | "Space" => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        match posix {
            Some(class) => format!("[:{}{class}:]", if negated { "^" } else { "" }),
            None => format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }),
        }
    }

    /// A class in brackets, behind the first.
    fn class(&mut self) {
        self.out.push('[');
        if self.depth >= CLASS_DEPTH_MAX {
            // The class stays open, so that the pattern is refused.
            self.at = self.text.len();
            return;
        }
        self.depth += 1;
        self.class_content();
        self.depth -= 1;
    }

    fn class_content(&mut self) {
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        while let Some(c) = self.next() {
            match c {
                ']' if !first => {
                    self.out.push(']');
                    return;
                }
                '[' => self.class(),
                '&' if self.peek(0) == Some('&') => {
                    self.at += 1;
                    self.out.push_str("&&");
                }
                other => match self.item(other) {
                    Item::Set(set) => self.out.push_str(&set),
                    Item::Char(from) => self.range_or_char(from),
                },
            }
            first = false;
        }
    }

    fn item(&mut self, c: char) -> Item {
        if c != '\\' {
            return Item::Char(c);
        }
        let Some(letter) = self.next() else { return Item::Set("\\".to_owned()) };
        match letter {
            'd' | 'w' | 's' | 'h' | 'v' | 'D' | 'W' | 'S' | 'H' | 'V' | 'p' | 'P' => {
                Item::Set(self.set(letter))
            }
            'n' => Item::Char('\n'),
            't' => Item::Char('\t'),
            'r' => Item::Char('\r'),
            'f' => Item::Char('\x0C'),
            'a' => Item::Char('\x07'),
            'x' | 'u' | 'e' | 'c' => match self.coded(letter) {
                Some(c) => Item::Char(c),
                None => Item::Set(format!("\\{letter}")),
            },
            other if other.is_alphanumeric() => Item::Set(format!("\\{other}")),
            other => Item::Char(other),
        }
    }

    fn range_or_char(&mut self, from: char) {
        let is_range = self.peek(0) == Some('-') && !matches!(self.peek(1), None | Some(']' | '['));
        if !is_range {
            self.class_char(from);
            return;
        }
        self.at += 1;
        let Some(end) = self.next() else { return };
        match self.item(end) {
            Item::Char(to) => self.class_range(from, to),
            Item::Set(set) => {
                self.class_char(from);
                self.out.push_str("\\-");
                self.out.push_str(&set);
            }
        }
    }

    fn class_char(&mut self, c: char) {
        self.push_in_class(c);
        if !self.flags.fold {
            return;
        }
        if c.is_ascii_alphabetic() || self.flags.unicode_case {
            let (lower, upper): (Vec<char>, Vec<char>) =
                (c.to_lowercase().collect(), c.to_uppercase().collect());
            for other in [lower, upper] {
                if let [other] = other[..]
                    && other != c
                {
                    self.push_in_class(other);
                }
            }
        }
    }

    fn class_range(&mut self, from: char, to: char) {
        self.push_in_class(from);
        self.out.push('-');
        self.push_in_class(to);
        if !self.flags.fold {
            return;
        }
        for (low, high, shift) in [('a', 'z', -32_i32), ('A', 'Z', 32)] {
            let (start, end) = (from.max(low), to.min(high));
            let shifted = |c: char| char::from_u32(u32::from(c).wrapping_add_signed(shift));
            if let (true, Some(start), Some(end)) = (start <= end, shifted(start), shifted(end)) {
                self.out.push_str(&format!("{start}-{end}"));
            }
        }
    }

    fn push_in_class(&mut self, c: char) {
        match c {
            ' ' => self.out.push_str("\\x20"),
            '<' | '>' => self.out.push(c),
            c if c.is_ascii_punctuation() => {
                self.out.push('\\');
                self.out.push(c);
            }
            c => self.out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let translated = translate(pattern);
        regex::Regex::new(&translated).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(text)
    }

    #[test]
    fn predefined_classes_are_ascii() {
        for (pattern, text, expected) in [
            (r"^\w+$", "abc_1", true),
            (r"^\w$", "é", false),
            (r"^\W$", "é", true),
            (r"^\d$", "٣", false),
            (r"^[\d.]+$", "1.5", true),
            (r"^\s$", "\u{a0}", false),
            (r"^\S$", "\u{a0}", true),
            (r"^[^\s]$", "\u{a0}", true),
            (r"^[\W]$", "é", true),
            (r"^[\w-]+$", "a-b", true),
            (r"(?U)^\w$", "é", true),
            (r"^\p{Alpha}$", "é", false),
            (r"^\P{Alpha}$", "é", true),
            (r"^[\p{Upper}x]+$", "AxB", true),
            (r"^\p{L}$", "é", true),
            (r"^\h$", "\u{a0}", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}: {}", translate(pattern));
        }
    }

    #[test]
    fn case_folds_in_ascii_unless_asked() {
        for (pattern, text, expected) in [
            ("(?i)straSSe", "STRASSe", true),
            ("(?i)^é$", "É", false),
            ("(?iu)^é$", "É", true),
            ("(?i)^k$", "\u{212a}", false),
            ("(?i)^[a-f]+$", "aF", true),
            ("(?i)^[^a-f]+$", "F", false),
            ("^a(?i)b(?-i)c$", "aBc", true),
            ("^a(?i)b(?-i)c$", "aBC", false),
            ("^(?i:a)b$", "Ab", true),
            ("^(?i:a)b$", "AB", false),
            ("^((?i)a)b$", "AB", false),
            (r"(?i)^\Qa.b\E$", "A.B", true),
            (r"(?i)^\p{Lower}$", "A", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}: {}", translate(pattern));
        }
    }

    #[test]
    fn other_syntax_keeps_its_meaning() {
        for (pattern, text, expected) in [
            (r"^\Q[x]*\E$", "[x]*", true),
            (r"^[+--]+$", "+,-", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a-z&&[^b]]$", "b", false),
            (r"^\u0041\x42$", "AB", true),
            (r"^\<b\>$", "<b>", true),
            (r"^(?<year>\d{4})-(?<month>\d\d)$", "2024-07", true),
            (r"^(?:a|b)(?m)$", "a", true),
            (r"^[\[\]]+$", "[]", true),
            (r"^[\\/]$", "\\", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}: {}", translate(pattern));
        }
        assert!(regex::Regex::new(&translate("(")).is_err());
        assert!(regex::Regex::new(&translate("a(?=b)")).is_err());
        assert!(regex::Regex::new(&translate("\\")).is_err());
        assert!(regex::Regex::new(&translate("[a")).is_err());
        assert!(regex::Regex::new(&translate(&"[".repeat(1_000_000))).is_err());
    }
}
