//! `docs/migrating.md` as an operator reads it: its commands and its promises. A block of commands that no test runs fails
//! the test, and so does a test that asks for a block that is not there.

use std::{fs, path::Path};

const FENCE: &str = "```";

/// The document, and which of its commands have been taken so far.
pub(crate) struct Document {
    text: String,
    blocks: Vec<String>,
}

impl Document {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migrating.md");
        let text = fs::read_to_string(path).expect("the document");
        let blocks = blocks(&text);
        assert!(!blocks.is_empty(), "the document has commands");
        Self { text, blocks }
    }

    /// Takes the next block of commands, in the order of the document; it must begin like this.
    pub(crate) fn take(&mut self, beginning: &str) -> String {
        assert!(!self.blocks.is_empty(), "the document has no more commands, the test expects {beginning:?}");
        let block = self.blocks.remove(0);
        assert!(
            block.starts_with(beginning),
            "the next commands of the document, the test expects {beginning:?}:\n{block}"
        );
        block
    }

    /// Every block must have been taken.
    pub(crate) fn assert_followed_to_the_end(&self) {
        assert_eq!(self.blocks, Vec::<String>::new(), "commands of the document that the test does not run");
    }

    /// What is in code in the first cell of the table's row whose second cell begins like this.
    pub(crate) fn row(&self, second_cell: &str) -> Vec<String> {
        let row = self.text.lines().find_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let first = cells.next()?;
            cells.next()?.starts_with(second_cell).then_some(first)
        });
        let row = row.unwrap_or_else(|| panic!("no row of the table says {second_cell:?}"));
        row.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }
}

/// The blocks of shell commands, without the indentation of lists.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(indentation) = line.strip_suffix("```sh") else { continue };
        assert_eq!(indentation.trim(), "", "{line}");
        let block = lines.by_ref().take_while(|line| line.trim() != FENCE);
        let block: Vec<&str> = block.map(|line| line.strip_prefix(indentation).unwrap_or_default()).collect();
        blocks.push(block.join("\n"));
    }
    blocks
}
