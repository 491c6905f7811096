//! One statement for many rows: each column travels as one array, and `unnest` makes rows of them.
//!
//! Values are written once, straight into PostgreSQL's binary form of an array; `jsonb` travels as its text. The text of a
//! statement depends on the table alone, so each connection prepares it once.

use std::io::Write as _;

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz},
};
use schema::Texts;

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A list of texts. It travels as text, because `unnest` would flatten an array of arrays.
    Texts,
    Json,
    Time,
    Float,
    Int,
    BigInt,
    Bool,
}

impl Kind {
    /// The type's number in the server's catalogue.
    fn oid(self) -> u32 {
        match self {
            Self::Text | Self::Texts => 25,
            Self::Json => 3802,
            Self::Time => 1184,
            Self::Float => 701,
            Self::Int => 23,
            Self::BigInt => 20,
            Self::Bool => 16,
        }
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Text(&'a str),
    Texts(&'a Texts<'a>),
    /// The text of a JSON value.
    Json(&'a str),
    /// Microseconds since 2000-01-01 UTC.
    Time(i64),
    Float(f64),
    Int(i32),
    BigInt(i64),
    Bool(bool),
    /// What the column's type cannot hold; as it was sent.
    Misfit(&'a str),
}

/// The values of one column, in PostgreSQL's binary form.
#[derive(Debug)]
pub(crate) struct Column {
    kind: Kind,
    values: Vec<u8>,
    count: i32,
}

impl Column {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, values: Vec::new(), count: 0 }
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn push(&mut self, value: Value<'_>) {
        self.count += 1;
        let start = self.values.len();
        self.values.extend_from_slice(&(-1_i32).to_be_bytes());
        match value {
            // A misfit is stopped before: see `crate::unstorable` and `crate::load`.
            Value::Null | Value::Misfit(_) => return,
            Value::Text(text) => self.values.extend_from_slice(text.as_bytes()),
            Value::Texts(texts) => self.push_literal(texts),
            Value::Json(text) => {
                // The version of jsonb's binary form.
                self.values.push(1);
                self.values.extend_from_slice(text.as_bytes());
            }
            Value::Time(value) | Value::BigInt(value) => self.values.extend_from_slice(&value.to_be_bytes()),
            Value::Float(value) => self.values.extend_from_slice(&value.to_be_bytes()),
            Value::Int(value) => self.values.extend_from_slice(&value.to_be_bytes()),
            Value::Bool(value) => self.values.push(value.into()),
        }
        // A value of 2 GiB cannot come here: the server takes no statement above 1 GiB, and the caller's chunks are smaller.
        let length = i32::try_from(self.values.len() - start - 4).unwrap_or(i32::MAX);
        self.values[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// An array literal: every text quoted.
    fn push_literal(&mut self, texts: &Texts<'_>) {
        self.values.push(b'{');
        for (place, text) in texts.iter().enumerate() {
            if place > 0 {
                self.values.push(b',');
            }
            self.values.push(b'"');
            for &byte in text.as_bytes() {
                if matches!(byte, b'"' | b'\\') {
                    self.values.push(b'\\');
                }
                self.values.push(byte);
            }
            self.values.push(b'"');
        }
        self.values.push(b'}');
    }

    fn write(&self, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
        // Dimensions, "may hold nulls", type, length, first index.
        for word in [1, 1, self.kind.oid().cast_signed(), self.count, 1] {
            out.write_all(&word.to_be_bytes())?;
        }
        out.write_all(&self.values)?;
        Ok(IsNull::No)
    }
}

macro_rules! array_of {
    ($($sql_type:ty),+) => {$(
        impl ToSql<Array<Nullable<$sql_type>>, Pg> for Column {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                self.write(out)
            }
        }
    )+};
}
array_of!(Text, Jsonb, Timestamptz, Double, Integer, BigInt, Bool);

/// A statement whose parameters are columns: `head`, the parameters separated by commas, `tail`.
#[derive(Debug)]
pub(crate) struct Bulk<'a> {
    pub(crate) head: &'a str,
    pub(crate) columns: &'a [Column],
    pub(crate) tail: &'a str,
}

impl QueryId for Bulk<'_> {
    type QueryId = ();
    // The text is the key of the prepared statement.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Bulk<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.head);
        for (place, column) in self.columns.iter().enumerate() {
            if place > 0 {
                out.push_sql(", ");
            }
            match column.kind {
                Kind::Text | Kind::Texts => out.push_bind_param::<Array<Nullable<Text>>, _>(column)?,
                Kind::Json => out.push_bind_param::<Array<Nullable<Jsonb>>, _>(column)?,
                Kind::Time => out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(column)?,
                Kind::Float => out.push_bind_param::<Array<Nullable<Double>>, _>(column)?,
                Kind::Int => out.push_bind_param::<Array<Nullable<Integer>>, _>(column)?,
                Kind::BigInt => out.push_bind_param::<Array<Nullable<BigInt>>, _>(column)?,
                Kind::Bool => out.push_bind_param::<Array<Nullable<Bool>>, _>(column)?,
            }
        }
        out.push_sql(self.tail);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_quotes_what_has_a_meaning() {
        let mut column = Column::new(Kind::Texts);
        column.push(Value::Texts(&["a\"b\\", "", "NULL"].into_iter().collect()));
        assert_eq!(&column.values[4..], br#"{"a\"b\\","","NULL"}"#);
        assert_eq!(column.values[..4], 20_i32.to_be_bytes());
    }

    #[test]
    fn null_has_no_bytes() {
        let mut column = Column::new(Kind::Json);
        column.push(Value::Null);
        column.push(Value::Json("{}"));
        assert_eq!(column.values, [255, 255, 255, 255, 0, 0, 0, 3, 1, b'{', b'}']);
        assert_eq!(column.count, 2);
    }
}
