//! What commands print. Standard output carries what was asked for and nothing
//! else; remarks go to standard error.

use clap::ValueEnum;
use serde_json::Value;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A column: its head and the field it shows.
pub type Column = (&'static str, &'static str);

impl Format {
    /// Prints a list.
    pub fn list(self, items: &[Value], columns: &[Column]) {
        match self {
            Self::Json => println!("{}", pretty(&Value::from(items))),
            Self::Text => print!("{}", table(items, columns)),
        }
    }

    /// Prints one object.
    pub fn object(self, object: &Value) {
        match self {
            Self::Json => println!("{}", pretty(object)),
            Self::Text => print!("{}", fields(object)),
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON")
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let head = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(items.iter().map(|item| columns.iter().map(|(_, field)| cell(&item[*field])).collect()))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn fields(object: &Value) -> String {
    let Some(fields) = object.as_object() else {
        return format!("{}\n", cell(object));
    };
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    fields.iter().map(|(name, value)| format!("{name:<width$}  {}\n", cell(value))).collect()
}

/// A value on one line. Names come from other machines: what could steer a
/// terminal is taken out.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_aligned_and_steers_no_terminal() {
        let items = [json!({ "name": "a\u{1b}[2J", "labels": { "site": "fra" } }), json!({ "name": "longer name" })];
        let expected = "NAME         LABELS\na\u{fffd}[2J        site=fra\nlonger name  -\n";
        assert_eq!(table(&items, &[("NAME", "name"), ("LABELS", "labels")]), expected);
    }

    #[test]
    fn an_object_is_one_field_per_line() {
        assert_eq!(fields(&json!({ "id": 1, "long_name": ["a", "b"] })), "id         1\nlong_name  a, b\n");
    }
}
