//! A block: columns of equal length for one table.

use super::column::{Column, put_length, put_string};
use crate::{Mark, StoreError};

/// The most rows of one block. ClickHouse writes a larger insert as several blocks, of which an aborted one would leave the
/// first behind (its default `max_insert_block_size` is 1,048,449).
pub const MAX_BLOCK_ROWS: usize = 1_048_448;

/// Columns of equal length for one table, already in their wire form.
#[derive(Clone, Debug)]
pub struct Block {
    table: String,
    names: Vec<&'static str>,
    rows: usize,
    bytes: bytes::Bytes,
    mark: Option<Mark>,
}

impl Block {
    /// The table it goes to.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing to insert.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The size of its wire form in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The row by which it is found in the store, where its table is one that would have its rows twice.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    pub(crate) fn bytes(&self) -> bytes::Bytes {
        self.bytes.clone()
    }

    /// The statement that inserts all of `blocks`; none where there is no row.
    pub(crate) fn insert_sql_of(blocks: &[Self]) -> Result<Option<String>, StoreError> {
        let mut blocks = blocks.iter().filter(|block| !block.is_empty());
        let Some(first) = blocks.next() else { return Ok(None) };
        let rows = blocks.try_fold(first.rows, |rows, block| {
            let fits = block.table == first.table && block.names == first.names;
            if fits {
                Ok(rows + block.rows)
            } else {
                Err(format!("a block of `{}` is not like the others", block.table))
            }
        });
        let refuse = |reason| StoreError::Block { table: first.table.clone(), reason };
        let rows = rows.map_err(refuse)?;
        if rows > MAX_BLOCK_ROWS {
            return Err(refuse(format!("{rows} rows together are more than the {MAX_BLOCK_ROWS} of one block")));
        }
        Ok(Some(format!("INSERT INTO `{}` (`{}`) FORMAT Native", first.table, first.names.join("`, `"))))
    }
}

/// Collects the columns of a [`Block`].
#[derive(Debug)]
pub struct BlockBuilder {
    table: String,
    columns: Vec<(&'static str, Column)>,
}

impl BlockBuilder {
    /// An empty block for `table`.
    #[must_use]
    pub fn new(table: &str) -> Self {
        Self { table: table.to_owned(), columns: Vec::new() }
    }

    /// Adds a column.
    #[must_use]
    pub fn column(mut self, name: &'static str, column: Column) -> Self {
        self.columns.push((name, column));
        self
    }

    /// Checks that the columns fit together and encodes them.
    ///
    /// # Errors
    /// [`StoreError::Block`] when there is no column, lengths differ, a name or the table is not a plain identifier, or there
    /// are more than [`MAX_BLOCK_ROWS`] rows.
    pub fn build(self) -> Result<Block, StoreError> {
        let rows = self.checked_rows().map_err(|reason| StoreError::Block { table: self.table.clone(), reason })?;
        let mut bytes = Vec::new();
        put_length(&mut bytes, self.columns.len());
        put_length(&mut bytes, rows);
        for (name, column) in &self.columns {
            put_string(&mut bytes, name);
            put_string(&mut bytes, column.native_type());
            column.encode(&mut bytes);
        }
        let names = self.columns.iter().map(|(name, _)| *name).collect();
        let mark = Mark::of(&self.table, &self.columns);
        Ok(Block { table: self.table, names, rows, bytes: bytes.into(), mark })
    }

    fn checked_rows(&self) -> Result<usize, String> {
        let (first, column) = self.columns.first().ok_or("it has no column")?;
        let rows = column.len();
        if let Some((name, other)) = self.columns.iter().find(|(_, other)| other.len() != rows) {
            return Err(format!("column `{name}` has {} rows, `{first}` has {rows}", other.len()));
        }
        if rows > MAX_BLOCK_ROWS {
            return Err(format!("{rows} rows are more than the {MAX_BLOCK_ROWS} of one block: split it"));
        }
        let names = self.columns.iter().map(|(name, _)| *name).chain([self.table.as_str()]);
        match names.into_iter().find(|name| !is_identifier(name)) {
            Some(name) => Err(format!("`{name}` is not a plain identifier")),
            None => Ok(rows),
        }
    }
}

pub(crate) fn is_identifier(name: &str) -> bool {
    let starts = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_of_one_table_go_together() {
        let block = |table: &str, rows: u64| {
            BlockBuilder::new(table).column("a", Column::U64((0..rows).collect())).build().unwrap()
        };
        let sql = Block::insert_sql_of(&[block("t", 0), block("t", 1), block("t", 2)]).unwrap();
        assert_eq!(sql.as_deref(), Some("INSERT INTO `t` (`a`) FORMAT Native"));
        assert_eq!(Block::insert_sql_of(&[block("t", 0)]).unwrap(), None);
        let error = Block::insert_sql_of(&[block("t", 1), block("u", 1)]).unwrap_err();
        assert!(error.to_string().contains("not like the others"), "{error}");
        let many = MAX_BLOCK_ROWS as u64;
        assert!(Block::insert_sql_of(&[block("t", many), block("t", 1)]).is_err());
    }

    #[test]
    fn a_small_block_is_byte_exact() {
        let block = BlockBuilder::new("t")
            .column("a", Column::U16(vec![1, 0xABCD]))
            .column("s", Column::String(vec!["x".into(), String::new()]))
            .build()
            .unwrap();
        let expected = b"\x02\x02\x01a\x06UInt16\x01\x00\xCD\xAB\x01s\x06String\x01x\x00";
        assert_eq!(block.bytes().as_ref(), expected);
        let sql = Block::insert_sql_of(std::slice::from_ref(&block)).unwrap();
        assert_eq!(sql.as_deref(), Some("INSERT INTO `t` (`a`, `s`) FORMAT Native"));
    }

    #[test]
    fn unequal_lengths_are_refused_by_name() {
        let error = BlockBuilder::new("t")
            .column("a", Column::U8(vec![1]))
            .column("b", Column::I64(vec![1, 2]))
            .build()
            .unwrap_err();
        assert_eq!(error.to_string(), "a block for table `t` is malformed: column `b` has 2 rows, `a` has 1");
    }

    #[test]
    fn no_column_foreign_names_and_too_many_rows_are_refused() {
        assert!(BlockBuilder::new("t").build().is_err());
        assert!(BlockBuilder::new("t` --").column("a", Column::U8(vec![])).build().is_err());
        assert!(BlockBuilder::new("t").column("a", Column::U8(vec![0; MAX_BLOCK_ROWS + 1])).build().is_err());
        assert!(BlockBuilder::new("t").column("a", Column::U8(vec![0; MAX_BLOCK_ROWS])).build().is_ok());
    }
}
