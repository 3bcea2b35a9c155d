// SPDX-License-Identifier: MIT OR Apache-2.0

//! The structure of device tree source: nodes, properties and directives, with their places in the
//! text.
//!
//! dtc reads the values: here only the references of a property and the words in its cells are
//! kept. Text that dtc would refuse is skipped, because dtc's message has the place.

use std::ops::Range;

/// Maximum of levels of nodes.
const MAX_DEPTH: usize = 64;

/// A node, a property or a directive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// `name { … };`
    Node(Node),
    /// `name = …;`
    Property(Property),
    /// `/delete-node/ name;` and its like.
    Directive(Directive),
}

/// A node in the text; one node of the tree can have several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    /// The name, `/`, or a reference: `&label`, `&{/path}`.
    pub name: String,
    /// The labels in front of it.
    pub labels: Vec<String>,
    /// From the first label to the semicolon.
    pub span: Range<usize>,
    /// The range between the braces.
    pub body: Range<usize>,
    /// The items of the body.
    pub items: Vec<Item>,
}

/// A property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Property {
    /// The name.
    pub name: String,
    /// Up to the semicolon.
    pub span: Range<usize>,
    /// References in the value: `&label`, `&{/path}`.
    pub references: Vec<String>,
    /// Names in cells, which only a preprocessor can replace.
    pub names: Vec<String>,
    /// Literal numbers in cells.
    pub numbers: Vec<u64>,
}

/// A directive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Directive {
    /// `/delete-node/`, `/memreserve/`, `/plugin/`, …
    pub name: String,
    /// The first argument.
    pub argument: String,
    /// Up to the semicolon.
    pub span: Range<usize>,
}

impl Item {
    /// Returns the node, if the item is one.
    pub(crate) fn node(&self) -> Option<&Node> {
        if let Self::Node(node) = self { Some(node) } else { None }
    }
}

impl Node {
    /// Returns the name without a unit address.
    pub(crate) fn kind(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }

    /// Returns the properties.
    pub(crate) fn properties(&self) -> impl Iterator<Item = &Property> {
        self.items.iter().filter_map(|item| if let Item::Property(property) = item { Some(property) } else { None })
    }

    /// Returns the direct children.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Node> {
        self.items.iter().filter_map(Item::node)
    }

    /// True if the node has a property `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.properties().any(|property| property.name == name)
    }

    /// Calls `visit` for the node and all nodes below.
    pub(crate) fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Node)) {
        visit(self);
        self.children().for_each(|child| child.walk(visit));
    }
}

/// Parses the items of a text, up to its end or to text that cannot be parsed.
pub(crate) fn parse(text: &str) -> Vec<Item> {
    Parser { text: text.as_bytes(), at: 0 }.items(0)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

/// True for a byte of a node's or property's name, or of a directive.
const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b',' | b'.' | b'_' | b'+' | b'*' | b'#' | b'?' | b'@' | b'-')
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn starts(&self, words: &str) -> bool {
        self.text[self.at..].starts_with(words.as_bytes())
    }

    /// Skips white space, comments and the preprocessor's line markers.
    fn skip(&mut self) {
        while let Some(byte) = self.peek() {
            if byte.is_ascii_whitespace() {
                self.at += 1;
            } else if self.starts("//") || self.is_marker() {
                self.until("\n");
            } else if self.starts("/*") {
                self.until("*/");
            } else {
                return;
            }
        }
    }

    /// True for a line marker: `# 1 "file"` at a line's beginning.
    fn is_marker(&self) -> bool {
        let begins = self.at == 0 || self.text[self.at - 1] == b'\n';
        begins && (self.starts("# ") || self.starts("#line "))
    }

    fn until(&mut self, end: &str) {
        let rest = &self.text[self.at..];
        let found = rest.windows(end.len()).position(|window| window == end.as_bytes());
        self.at += found.map_or(rest.len(), |found| found + end.len());
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// Parses a name, `/`, a directive, or a reference.
    fn name(&mut self) -> String {
        match self.peek() {
            Some(b'&') => {
                let start = self.at;
                self.at += 1;
                if self.peek() == Some(b'{') {
                    self.until("}");
                } else {
                    self.take_while(in_word);
                }
                String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
            }
            Some(b'/') => {
                self.at += 1;
                let word = self.take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
                if !word.is_empty() && self.peek() == Some(b'/') {
                    self.at += 1;
                    return format!("/{word}/");
                }
                self.at -= word.len();
                "/".to_owned()
            }
            _ => self.take_while(in_name),
        }
    }

    /// Parses the items up to a closing brace, which is not consumed.
    fn items(&mut self, depth: usize) -> Vec<Item> {
        let mut items = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None | Some(b'}') => return items,
                Some(b';') => self.at += 1,
                Some(_) => {
                    let before = self.at;
                    items.extend(self.item(depth));
                    if self.at == before {
                        // dtc reports it.
                        self.at += 1;
                    }
                }
            }
        }
    }

    fn item(&mut self, depth: usize) -> Option<Item> {
        let start = self.at;
        let mut labels = Vec::new();
        loop {
            let name = self.name();
            self.skip();
            match self.peek() {
                Some(b':') if !name.is_empty() => {
                    self.at += 1;
                    self.skip();
                    labels.push(name);
                }
                Some(b'{') if depth < MAX_DEPTH => {
                    self.at += 1;
                    let body = self.at;
                    let items = self.items(depth + 1);
                    let body = body..self.at;
                    self.at = (self.at + 1).min(self.text.len());
                    self.end();
                    return Some(Item::Node(Node { name, labels, span: start..self.at, body, items }));
                }
                // It precedes a node.
                _ if name == "/omit-if-no-ref/" => {}
                _ if name.len() > 1 && name.starts_with('/') => {
                    let argument = if self.peek() == Some(b'"') { self.string() } else { self.name() };
                    if name != "/include/" {
                        self.value();
                        self.end();
                    }
                    return Some(Item::Directive(Directive { name, argument, span: start..self.at }));
                }
                _ if name.is_empty() => return None,
                _ => {
                    let (references, names, numbers) = self.value();
                    self.end();
                    return Some(Item::Property(Property { name, span: start..self.at, references, names, numbers }));
                }
            }
        }
    }

    fn string(&mut self) -> String {
        let start = self.at + 1;
        self.at = start;
        while let Some(byte) = self.peek().filter(|byte| *byte != b'"') {
            self.at += if byte == b'\\' { 2 } else { 1 };
        }
        self.at = self.at.min(self.text.len());
        let string = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        self.at = (self.at + 1).min(self.text.len());
        string
    }

    /// Skips a value; returns its references, and the names and numbers in its cells.
    fn value(&mut self) -> (Vec<String>, Vec<String>, Vec<u64>) {
        let (mut references, mut names, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut in_cells, mut parentheses) = (false, 0);
        loop {
            self.skip();
            match self.peek() {
                None | Some(b';' | b'}' | b'{') => return (references, names, numbers),
                Some(b'"') => drop(self.string()),
                Some(b'&') if !self.starts("&&") && self.text.get(self.at + 1).is_some_and(|byte| *byte != b' ') => {
                    let reference = self.name();
                    if reference.len() > 1 {
                        references.push(reference);
                    }
                }
                Some(b'[') => self.until("]"),
                Some(b'\'') => {
                    self.at += 1;
                    self.until("'");
                }
                Some(b'/') => drop(self.name()),
                Some(b'<') if !in_cells => {
                    self.at += 1;
                    in_cells = true;
                }
                Some(b'>') if in_cells && parentheses == 0 => {
                    self.at += 1;
                    in_cells = false;
                }
                Some(byte) if in_word(byte) => {
                    let word = self.take_while(in_word);
                    // A label inside a value.
                    if self.peek() == Some(b':') {
                        self.at += 1;
                    } else if in_cells {
                        let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
                        let number = digits.map_or_else(|| word.parse(), |digits| u64::from_str_radix(digits, 16));
                        match number {
                            Ok(number) => numbers.push(number),
                            Err(_) if !word.starts_with(|first: char| first.is_ascii_digit()) => names.push(word),
                            Err(_) => {}
                        }
                    }
                }
                Some(byte) => {
                    match byte {
                        b'(' => parentheses += 1,
                        b')' => parentheses -= 1,
                        _ => {}
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn end(&mut self) {
        let at = self.at;
        self.skip();
        if self.peek() == Some(b';') {
            self.at += 1;
        } else {
            self.at = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_is_found() {
        let text = "/memreserve/ 0x1000 0x2000;\n# 3 \"x\"\na: b: node@1 { p; q = <&a (1 << SZ) 0x10>, \"}\"; \
                    /delete-node/ x; sub { };\n};\n&{/a/b} { };\n&l { r = &a; };";
        let items = parse(text);
        let [Item::Directive(reserve), Item::Node(node), Item::Node(by_path), Item::Node(by_label)] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!(&text[reserve.span.clone()], "/memreserve/ 0x1000 0x2000;");
        assert_eq!((node.name.as_str(), node.labels.len(), node.items.len()), ("node@1", 2, 4));
        let value = node.properties().nth(1).unwrap();
        assert_eq!((&value.references[..], &value.names[..]), (&["&a".to_owned()][..], &["SZ".to_owned()][..]));
        assert_eq!(value.numbers, [1, 16]);
        assert_eq!((by_path.name.as_str(), by_label.name.as_str()), ("&{/a/b}", "&l"));
        assert_eq!(by_label.properties().next().unwrap().references, ["&a"]);
    }

    #[test]
    fn nothing_stops_it() {
        for text in ["", "{", "}", "a {", "a = <", "a = \"", "/", "&", "&{", "a:", "/*", "a { b = <1 }", "'", "\\"] {
            parse(text);
        }
        parse(&"a{".repeat(10_000));
    }
}
