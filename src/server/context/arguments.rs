//! The arguments of a request, from a JSON body or from the query, parsed and reported as MLflow does.

use serde_json::{Map, Value};

use super::error::{ApiError, Code};
use crate::format::strict_json::StrictJson;
use crate::text::Text;

/// Parameters that are secrets, or hold one. Error messages about them do not repeat the value.
const SECRET: [&str; 5] = ["secret", "authorization", "access_token", "http_url_spec", "job_spec"];

/// The end of most of MLflow's messages about parameters.
const SEE: &str = "See the API docs for more information about request parameters.";

/// The arguments of a request. The body takes precedence over the query.
#[derive(Debug, Clone, Default)]
pub struct Args {
    body: Map<String, Value>,
    query: Vec<(String, String)>,
    is_lenient: bool,
}

impl Args {
    /// Parses the query of a URL and a body, which must be a JSON object or empty.
    ///
    /// # Errors
    ///
    /// `BAD_REQUEST` when the body is not such JSON, repeats a key or is too deep, or the query is not valid UTF-8.
    pub fn new(query: Option<&str>, body: &[u8]) -> Result<Self, ApiError> {
        let query = query.map(pairs).transpose()?.unwrap_or_default();
        Ok(Self { body: object(body)?, query, is_lenient: false })
    }

    /// Converts JSON scalars to the type of a field, as Databricks does: an integer is accepted as a string, and the
    /// words `true` and `false` as a boolean.
    pub fn lenient(mut self) -> Self {
        integers_as_texts(&mut self.body);
        self.body.values_mut().filter_map(Value::as_object_mut).for_each(integers_as_texts);
        Self { is_lenient: true, ..self }
    }

    /// Returns all arguments as one text. Equal arguments give the same text.
    pub fn canonical(&self) -> String {
        // The map keeps its keys in insertion order or in alphabetical order. A client repeats the same bytes, so
        // either is fine.
        format!("{} {:?}", Value::Object(self.body.clone()), self.query)
    }

    /// Returns the value of a name in the body: `snake_case`, or protobuf's `camelCase`, but not both.
    fn json(&self, name: &str) -> Result<Option<&Value>, ApiError> {
        let plain = self.body.get(name);
        let camel = camel(name);
        let other = if camel == name { None } else { self.body.get(&camel) };
        match (plain, other) {
            (Some(_), Some(_)) => Err(ApiError::invalid(format!(
                "Request specifies both '{name}' and '{camel}'; provide only one of them."
            ))),
            (found, other) => Ok(found.or(other).filter(|v| !v.is_null())),
        }
    }

    fn query(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Returns a value of the body as it was sent, under exactly this name.
    pub fn sent(&self, name: &str) -> Option<&Value> {
        self.body.get(name)
    }

    /// Returns the first value of a name in the query.
    pub fn in_query(&self, name: &str) -> Option<&str> {
        self.query(name).next()
    }

    /// Returns a value of the body as it is. `None` if it is absent or null.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the body holds the name in two spellings.
    pub fn value(&self, name: &str) -> Result<Option<&Value>, ApiError> {
        self.json(name)
    }

    /// Returns an object within the body as arguments of its own. `None` if it is absent or null.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the value is not an object.
    pub fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        match self.json(name)? {
            Some(Value::Object(body)) => {
                Ok(Some(Self { body: body.clone(), query: Vec::new(), is_lenient: self.is_lenient }))
            }
            Some(other) => Err(wrong_type(name, other)),
            None => Ok(None),
        }
    }

    /// Returns a string. `None` if it is absent.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the value is not a string.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.json(name)? {
            Some(Value::String(s)) => Ok(Some(s)),
            Some(other) => Err(wrong_type(name, other)),
            None => Ok(self.query(name).next()),
        }
    }

    /// Returns a string that must be present and not empty.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the value is absent, empty or not a string.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        match self.text(name)? {
            Some("") | None => Err(missing(name)),
            Some(text) if text.trim().is_empty() => {
                Err(ApiError::invalid(format!("Missing value for required parameter '{name}'.")))
            }
            Some(text) => Ok(text),
        }
    }

    /// Returns a list of strings; empty if it is absent. In a query the name is repeated.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when an item is not a string.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, ApiError> {
        match self.json(name)? {
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| wrong_type(name, item));
                items.iter().map(text).collect()
            }
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(other) => Err(wrong_type(name, other)),
            None => Ok(self.query(name).map(str::to_owned).collect()),
        }
    }

    /// Returns a boolean; false if it is absent.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the value is not a boolean.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.json(name)? {
            Some(Value::Bool(b)) => Ok(*b),
            Some(Value::String(word)) if self.is_lenient && word.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(word)) if self.is_lenient && word.eq_ignore_ascii_case("false") => Ok(false),
            Some(other) => Err(wrong_type(name, other)),
            None => match self.query(name).next() {
                None | Some("false" | "False" | "") => Ok(false),
                Some("true" | "True") => Ok(true),
                Some(other) => Err(wrong_type(name, &Value::from(other))),
            },
        }
    }

    /// Returns a number as it is written. `None` if it is absent. The body may hold it as a number or as a string.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the value is neither an integer nor a string.
    pub fn number(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.json(name)? {
            Some(Value::Number(n)) if n.is_i64() || n.is_u64() => Ok(Some(n.to_string())),
            Some(Value::String(s)) => Ok(Some(s.clone())),
            Some(other) => Err(wrong_type(name, other)),
            None => Ok(self.query(name).next().map(str::to_owned)),
        }
    }

    /// Returns keys and values: `[{"key": …, "value": …}, …]`. A key may occur twice; then the last value counts.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the value does not have this form.
    pub fn tags(&self, name: &str) -> Result<Vec<(String, String)>, ApiError> {
        let Some(value) = self.json(name)? else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(wrong_type(name, value)) };
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let Value::Object(tag) = item else { return Err(wrong_type(name, item)) };
            let part = |part: &str| match tag.get(part) {
                Some(Value::String(s)) => Ok(s.clone()),
                None | Some(Value::Null) => Ok(String::new()),
                Some(other) => Err(wrong_type(&format!("{name}.{part}"), other)),
            };
            out.push((part("key")?, part("value")?));
        }
        Ok(out)
    }
}

/// Converts the integers in an object to strings.
fn integers_as_texts(object: &mut Map<String, Value>) {
    for value in object.values_mut() {
        if let Value::Number(number) = value
            && (number.is_i64() || number.is_u64())
        {
            *value = Value::String(number.to_string());
        }
    }
}

/// Returns MLflow's error for a missing parameter.
pub fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!("Missing value for required parameter '{name}'. {SEE}"))
}

/// Checks that the value of a parameter may be stored.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the text may not be stored.
pub fn storable(given: &str, name: &str) -> Result<Text, ApiError> {
    Text::new(given).map_err(|e| ApiError::invalid(format!("Invalid value for parameter '{name}' supplied: {e}")))
}

/// Returns MLflow's error for a parameter of another type.
pub fn wrong_type(name: &str, value: &Value) -> ApiError {
    let kind = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    // An error is written to logs, and shown to people who see the client's output.
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_secret = SECRET.contains(&last);
    let mut shown = if is_secret { "***".to_owned() } else { ascii(&value.to_string()) };
    if shown.len() > 200 {
        shown = format!("{}…", shown.chars().take(200).collect::<String>());
    }
    ApiError::invalid(format!(
        "Invalid value {shown} for parameter '{name}' supplied:  Hint: Value was of type '{kind}'. {SEE}"
    ))
}

/// Writes JSON in ASCII only, as Python does.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Converts a name to protobuf's JSON spelling: `new_name` to `newName`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut up = false;
    for c in name.chars() {
        if c == '_' {
            up = true;
        } else if up {
            out.extend(c.to_uppercase());
            up = false;
        } else {
            out.push(c);
        }
    }
    out
}

/// Parses a body that is a JSON object. An empty body has no arguments.
fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let bad =
        |why: String| ApiError::new(Code::BadRequest, format!("The body of the request is not valid JSON: {why}"));
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let read = |text: &[u8]| serde_json::from_slice::<StrictJson>(text).map_err(|e| bad(e.to_string()));
    match read(body)?.0 {
        Value::Object(map) => Ok(map),
        // Old clients send the JSON as a string within JSON.
        Value::String(inner) => match read(inner.as_bytes())?.0 {
            Value::Object(map) => Ok(map),
            _ => Err(bad("it must be an object".to_owned())),
        },
        _ => Err(bad("it must be an object".to_owned())),
    }
}

/// Splits a query into decoded pairs.
fn pairs(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    let bad = || ApiError::new(Code::BadRequest, "The query of the URL is not valid UTF-8.");
    let decode = |s: &str| -> Result<String, ApiError> {
        let mut out = Vec::with_capacity(s.len());
        let mut bytes = s.bytes();
        while let Some(b) = bytes.next() {
            match b {
                b'+' => out.push(b' '),
                b'%' => {
                    let pair = [bytes.next().ok_or_else(bad)?, bytes.next().ok_or_else(bad)?];
                    let hex = std::str::from_utf8(&pair).map_err(|_| bad())?;
                    out.push(u8::from_str_radix(hex, 16).map_err(|_| bad())?);
                }
                b => out.push(b),
            }
        }
        String::from_utf8(out).map_err(|_| bad())
    };
    let parts = query.split('&').filter(|p| !p.is_empty());
    parts.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| Ok((decode(k)?, decode(v)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Args {
        Args::new(None, body.as_bytes()).unwrap()
    }

    fn refused(body: &str) -> String {
        Args::new(None, body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn a_body_is_read_in_both_spellings_and_nulls_are_absent() {
        let args = of(r#"{"name": "a", "newName": "b", "description": null}"#);
        assert_eq!(args.required("name").unwrap(), "a");
        assert_eq!(args.text("new_name").unwrap(), Some("b"));
        assert_eq!(args.text("description").unwrap(), None);
        let both = of(r#"{"new_name": "a", "newName": "b"}"#).text("new_name").unwrap_err();
        assert_eq!(both.message, "Request specifies both 'new_name' and 'newName'; provide only one of them.");
    }

    #[test]
    fn wrong_and_missing_values_are_named_in_mlflows_words() {
        let wrong = of(r#"{"name": 123}"#).required("name").unwrap_err();
        assert_eq!(
            wrong.message,
            "Invalid value 123 for parameter 'name' supplied:  Hint: Value was of type 'int'. See the API docs for \
             more information about request parameters."
        );
        let missing = of("{}").required("name").unwrap_err();
        assert_eq!(
            missing.message,
            "Missing value for required parameter 'name'. See the API docs for more information about request \
             parameters."
        );
        assert_eq!(
            of(r#"{"name": "  "}"#).required("name").unwrap_err().message,
            "Missing value for required parameter 'name'."
        );
        assert!(of(r#"{"archive_existing_versions": "true"}"#).flag("archive_existing_versions").is_err());
    }

    #[test]
    fn lenient_arguments_convert_scalars_and_nothing_else() {
        let args =
            of(r#"{"version": 3, "archive": "True", "spec": {"job_id": 7}, "list": [1], "half": 1.5, "on": true}"#);
        assert!(args.text("version").is_err() && args.flag("archive").is_err());
        let args = args.lenient();
        assert_eq!(args.text("version").unwrap(), Some("3"));
        assert!(args.flag("archive").unwrap() && args.flag("on").unwrap());
        assert_eq!(args.value("spec").unwrap(), Some(&serde_json::json!({ "job_id": "7" })));
        for wrong in ["list", "half", "on", "spec"] {
            assert!(args.text(wrong).is_err(), "{wrong}");
        }
        assert!(of(r#"{"archive": "yes"}"#).lenient().flag("archive").is_err());
        let same = [of(r#"{"version": 3}"#), of(r#"{"version": "3"}"#)].map(|a| a.lenient().canonical());
        assert_eq!(same[0], same[1], "a repeated request may be spelt in either way");
    }

    #[test]
    fn a_query_repeats_names_and_is_decoded_once() {
        let args = Args::new(Some("order_by=a+b&order_by=c%2Bd&name=%2525"), b"").unwrap();
        assert_eq!(args.texts("order_by").unwrap(), ["a b", "c+d"]);
        assert_eq!(args.text("name").unwrap(), Some("%25"));
        assert!(Args::new(Some("name=%ff"), b"").is_err());
        assert!(Args::new(Some("name=%f"), b"").is_err());
    }

    #[test]
    fn json_with_repeated_keys_or_much_depth_is_refused() {
        assert!(refused(r#"{"name": "a", "name": "b"}"#).contains("twice"));
        assert!(refused(&format!("{{\"a\": {}1{}}}", "[".repeat(40), "]".repeat(40))).contains("deeper"));
        assert!(refused("[]").contains("object"));
        assert!(refused("{").contains("not valid JSON"));
        assert!(refused(&"[".repeat(100_000)).contains("not valid JSON"));
        assert_eq!(of(r#""{\"name\": \"a\"}""#).required("name").unwrap(), "a");
    }
}
