//! JSON Schemas of arguments and results, kept small: every client sends all of them to its model.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// A schema as it goes over the wire.
pub type Object = Map<String, Value>;

/// The schema of a tool's arguments.
pub fn input<T: JsonSchema>() -> Object {
    let settings = settings().for_deserialize();
    object(SchemaGenerator::new(settings).into_root_schema_for::<T>(), slim)
}

/// The schema of a tool's result. It names what is there, and demands nothing: a failure is no result, but there are
/// clients that check it all the same.
pub fn output<T: JsonSchema>() -> Object {
    let settings = settings().for_serialize();
    object(SchemaGenerator::new(settings).into_root_schema_for::<T>(), bare)
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}

fn object(mut schema: Schema, transform: fn(&mut Schema)) -> Object {
    RecursiveTransform(transform).transform(&mut schema);
    schema.remove("description");
    schema.as_object().cloned().unwrap_or_default()
}

/// Takes out what no model needs. `format` has values that are no part of JSON Schema, over which clients stumble; what
/// may be null may as well be left out.
fn slim(schema: &mut Schema) {
    take_null(schema);
    words_of_enum(schema);
    for name in ["format", "title", "minimum", "maximum"] {
        schema.remove(name);
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    for name in VARIANTS {
        for variant in schema.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(variant) = variant.as_object_mut() {
                variant.remove("description");
            }
        }
    }
}

/// The same for results, which nobody has to write: names and types say enough.
fn bare(schema: &mut Schema) {
    let or_null = take_null(schema);
    slim(schema);
    for name in ["description", "default", "additionalProperties", "required"] {
        schema.remove(name);
    }
    types_of_variants(schema);
    if schema.get("enum").is_some() {
        schema.remove("type");
    }
    if or_null {
        add_null(schema);
    }
}

const VARIANTS: [&str; 2] = ["anyOf", "oneOf"];

/// Takes out that it may be null. Says whether it may.
fn take_null(schema: &mut Schema) -> bool {
    let Some(object) = schema.as_object_mut() else { return false };
    let (name, null) = match object.get("type") {
        Some(Value::Array(_)) => ("type", json!("null")),
        _ => ("anyOf", json!({"type": "null"})),
    };
    let Some(Value::Array(variants)) = object.get_mut(name) else { return false };
    let n_before = variants.len();
    variants.retain(|variant| *variant != null);
    let (was_there, is_one) = (variants.len() < n_before, variants.len() == 1);
    if is_one {
        match object.remove(name) {
            Some(Value::Array(only)) if name == "anyOf" => {
                let only = only.into_iter().filter_map(|variant| variant.as_object().cloned()).flatten();
                for (name, value) in only {
                    object.entry(name).or_insert(value);
                }
            }
            Some(Value::Array(only)) => object.extend(only.into_iter().map(|only| (name.to_owned(), only))),
            _ => {}
        }
    }
    was_there
}

fn add_null(schema: &mut Schema) {
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
        return;
    }
    let types = match schema.remove("type") {
        Some(Value::Array(types)) => types,
        other => other.into_iter().collect(),
    };
    if types.contains(&"object".into()) {
        schema.remove("properties");
    }
    schema.insert("type".into(), [types, vec!["null".into()]].concat().into());
}

/// Variants as their types alone.
fn types_of_variants(schema: &mut Schema) {
    for name in VARIANTS {
        let Some(Value::Array(variants)) = schema.get(name) else { continue };
        let types = variants.iter().map(|variant| variant.get("type").cloned());
        let Some(mut types) = types.collect::<Option<Vec<Value>>>() else { continue };
        types.dedup();
        schema.remove(name);
        let one = if types.len() == 1 { types.pop() } else { None };
        schema.insert("type".into(), one.unwrap_or(Value::Array(types)));
    }
}

/// An enum without data as its words alone: schemars has an object with a description for each.
fn words_of_enum(schema: &mut Schema) {
    let Some(Value::Array(variants)) = schema.get("oneOf") else { return };
    let word = |variant: &Value| match variant.get("const") {
        Some(word) => Some(vec![word.clone()]),
        None => variant.get("enum")?.as_array().cloned(),
    };
    let Some(words) = variants.iter().map(word).collect::<Option<Vec<_>>>() else { return };
    let words = words.concat();
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), words.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    /// How it is.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        /// One.
        One,
        /// Two.
        Two,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Texts(Vec<String>),
    }

    /// All of it.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct All {
        /// In two
        /// lines.
        count: u64,
        word: Word,
        maybe_word: Option<Word>,
        #[serde(default)]
        either: Option<Either>,
    }

    #[test]
    fn arguments_are_described() {
        let expected = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["count", "word"],
            "properties": {
                "count": {"type": "integer", "description": "In two lines."},
                "word": {"type": "string", "enum": ["one", "two"], "description": "How it is."},
                "maybe_word": {"type": "string", "enum": ["one", "two"], "description": "How it is."},
                "either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "default": null},
            },
        });
        assert_eq!(Value::Object(input::<All>()), expected);
    }

    #[test]
    fn results_are_names_and_types() {
        let expected = json!({
            "type": "object",
            "properties": {
                "count": {"type": "integer"},
                "word": {"enum": ["one", "two"]},
                "maybe_word": {"enum": ["one", "two", null]},
                "either": {"type": ["string", "array", "null"]},
            },
        });
        assert_eq!(Value::Object(output::<All>()), expected);
    }
}
