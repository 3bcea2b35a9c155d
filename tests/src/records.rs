// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fields of the records: the tables of `docs/reference/records.md`, as a JSON Schema.
//!
//! The page is the source. [`schema`] generates the schema from it, which is stored beside it for
//! readers of records, and [`check`] validates every record in a test: unknown fields, missing
//! fields and wrong types are errors.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::in_tree;

/// Path of the page of the records.
pub const PAGE: &str = "docs/reference/records.md";
/// Path of the schema generated from it.
pub const SCHEMA: &str = "docs/reference/records.schema.json";
/// First line of a table of fields.
const HEADING: &str = "| field | type | meaning | unit |";
/// Beginning of a record.
const BEGINNING: &str = "{\"record\":\"";

/// Generates the schema of a record from the page.
///
/// # Errors
/// The row of the page that cannot be read.
pub fn schema(page: &str) -> Result<Value, String> {
    let mut kinds: Map<String, Value> = Map::new();
    for section in page.split("\n## `").skip(1) {
        let (kind, text) = section.split_once('`').ok_or_else(|| format!("a heading without an end: {section}"))?;
        let record = record(kind, text, &kinds)?;
        kinds.insert(kind.to_owned(), record);
    }
    let any: Vec<Value> = kinds.keys().map(|kind| json!({"$ref": format!("#/$defs/{kind}")})).collect();
    Ok(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A record",
        "description": "One line of what the laboratory prints, of those that begin with {",
        "oneOf": any,
        "$defs": kinds,
    }))
}

/// Returns the schema's text, as it is stored in the tree: a line for each field.
pub fn text_of(schema: &Value) -> String {
    let object = |value: &Value, indent: &str, end: &str, line: &dyn Fn(&Value) -> String| {
        let fields = value.as_object().into_iter().flatten();
        let lines: Vec<String> =
            fields.map(|(name, value)| format!("{indent}{}: {}", json!(name), line(value))).collect();
        format!("{{\n{}\n{end}}}", lines.join(",\n"))
    };
    let compact = |value: &Value| value.to_string();
    let kind = |value: &Value| {
        object(value, "   ", "  ", &|part| {
            if part.is_object() { object(part, "    ", "   ", &compact) } else { compact(part) }
        })
    };
    let whole = object(schema, " ", "", &|part| {
        if part.is_object() { object(part, "  ", " ", &kind) } else { compact(part) }
    });
    whole + "\n"
}

/// Returns the schema of a kind from the text under its heading. `kinds` are those above it; the
/// text may include the fields of one of them.
fn record(kind: &str, text: &str, kinds: &Map<String, Value>) -> Result<Value, String> {
    let mut properties = Map::new();
    let mut required = vec![json!("record")];
    properties.insert("record".into(), json!({"const": kind}));
    let included = text.split_once("The fields of [`").and_then(|(_, rest)| rest.split_once('`'));
    if let Some((other, _)) = included {
        let other = kinds.get(other).ok_or_else(|| format!("{kind}: no record {other} stands above it"))?;
        for (name, field) in other["properties"].as_object().into_iter().flatten().skip(1) {
            properties.insert(name.clone(), field.clone());
        }
        required.extend(other["required"].as_array().into_iter().flatten().skip(1).cloned());
    }
    let rows = text.lines().skip_while(|line| *line != HEADING).skip(2).take_while(|line| line.starts_with('|'));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [names, type_name, meaning, unit] = cells[..] else {
            return Err(format!("{kind}: a row of other than four cells: {row}"));
        };
        let (type_name, optional) =
            type_name.strip_suffix(", optional").map_or((type_name, false), |type_name| (type_name, true));
        let mut field = type_of(type_name).ok_or_else(|| format!("{kind}: {type_name} is no type: {row}"))?;
        field["description"] = meaning.into();
        if !unit.is_empty() {
            field["unit"] = unit.into();
        }
        for name in names.split(", ") {
            let name = name.trim_matches('`');
            if properties.insert(name.to_owned(), field.clone()).is_some() {
                return Err(format!("{kind}: {name} stands there twice"));
            }
            if !optional {
                required.push(name.into());
            }
        }
    }
    Ok(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

/// Returns the schema of a type. `list of {line: integer, task: string}` is a list of objects.
fn type_of(name: &str) -> Option<Value> {
    if let Some(fields) = name.strip_prefix("list of {").and_then(|rest| rest.strip_suffix('}')) {
        let fields: Option<Map<String, Value>> = fields
            .split(", ")
            .map(|field| field.split_once(": ").and_then(|(name, kind)| Some((name.to_owned(), type_of(kind)?))))
            .collect();
        let fields = fields?;
        let names: Vec<&String> = fields.keys().collect();
        let object = json!({"type": "object", "properties": fields, "required": names, "additionalProperties": false});
        return Some(json!({"type": "array", "items": object}));
    }
    match name {
        "integer" => Some(json!({"type": "integer", "minimum": 0})),
        "integers" => Some(json!({"type": "array", "items": {"type": "integer"}})),
        "string" => Some(json!({"type": "string"})),
        "fingerprint" => Some(json!({"type": "string", "pattern": "^[0-9a-f]{16}$"})),
        _ => None,
    }
}

/// Validator for each kind: its messages are clearer than those of one for all kinds.
static KINDS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let text = fs::read_to_string(in_tree(SCHEMA)).unwrap_or_else(|error| panic!("{SCHEMA}: {error}"));
    let schema: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{SCHEMA}: {error}"));
    let kinds = schema["$defs"].as_object().unwrap_or_else(|| panic!("{SCHEMA} has no $defs"));
    let validator = |kind: &Value| jsonschema::validator_for(kind).unwrap_or_else(|error| panic!("{SCHEMA}: {error}"));
    kinds.iter().map(|(name, kind)| (name.clone(), validator(kind))).collect()
});

/// Returns the errors of the records among `lines`, a line each; empty if there are none.
pub fn check<'l>(lines: impl IntoIterator<Item = &'l str>) -> String {
    let mut wrong = String::new();
    for line in lines.into_iter().filter(|line| line.starts_with(BEGINNING)) {
        for error in errors(line) {
            // Writing to a String cannot fail.
            let _ = writeln!(wrong, "{error}, in the record {line}");
        }
    }
    wrong
}

fn errors(line: &str) -> Vec<String> {
    let record: Value = match serde_json::from_str(line) {
        Ok(record) => record,
        Err(error) => return vec![error.to_string()],
    };
    let kind = record["record"].as_str().unwrap_or_default();
    match KINDS.get(kind) {
        Some(validator) => validator.iter_errors(&record).map(|error| error.to_string()).collect(),
        None => vec![format!("{PAGE} has no record {kind}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_that_of_the_page() {
        let page = fs::read_to_string(in_tree(PAGE)).unwrap();
        let made = text_of(&schema(&page).unwrap());
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            fs::write(in_tree(SCHEMA), &made).unwrap();
        }
        let kept = fs::read_to_string(in_tree(SCHEMA)).unwrap_or_default();
        assert!(kept == made, "{SCHEMA} is not made of {PAGE}: UPDATE_GOLDEN=1 makes it anew");
        let schema: Value = serde_json::from_str(&kept).unwrap();
        assert!(jsonschema::meta::is_valid(&schema));
    }

    #[test]
    fn records_that_differ_are_found() {
        let right = r#"{"record":"boot","mem_pages":1,"areas":2,"ns_to_ready":3}"#;
        assert_eq!(check(["text", right, "{no record"]), "");
        for (line, what) in [
            (r#"{"record":"boot","mem_pages":1,"areas":2}"#, "ns_to_ready"),
            (r#"{"record":"boot","mem_pages":1,"areas":2,"ns_to_ready":3,"more":4}"#, "more"),
            (r#"{"record":"boot","mem_pages":-1,"areas":2,"ns_to_ready":3}"#, "-1"),
            (r#"{"record":"boot","mem_pages":1,"areas":"2","ns_to_ready":3}"#, "integer"),
            (r#"{"record":"bootx"}"#, "no record bootx"),
            (r#"{"record":"boot","#, "EOF"),
        ] {
            assert!(check([right, line]).contains(what), "{line}: {}", check([line]));
        }
    }

    #[test]
    fn tables_become_schemas() {
        let table = |row: &str| format!("# Records\n\n## `x`\n\n{HEADING}\n|---|---|---|---|\n{row}\n");
        let kept = |row: &str| schema(&table(row)).map(|schema| schema["$defs"]["x"].clone());
        let made = kept("| `a`, `b` | integer, optional | m | ns |").unwrap();
        assert_eq!(made["required"], json!(["record"]));
        assert_eq!(made["properties"]["b"], json!({"type": "integer", "minimum": 0, "description": "m", "unit": "ns"}));
        let made = kept("| `a` | list of {n: integer, s: string} | m | |").unwrap();
        assert_eq!(made["properties"]["a"]["items"]["required"], json!(["n", "s"]));
        for row in ["| `a` | number | m | |", "| `a` | integer | m |", "| `a`, `a` | integer | m | |"] {
            assert!(kept(row).is_err(), "{row}");
        }
        let two = format!("{}\n## `y`\n\nThe fields of [`x`](#x).\n", table("| `a` | integer | m | |"));
        assert_eq!(schema(&two).unwrap()["$defs"]["y"]["required"], json!(["record", "a"]));
    }
}
