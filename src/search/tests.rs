//! The meaning of MLflow's search language, with one filter in each row.

mod pages;

use proptest::prelude::*;

use super::*;

/// A model, or a version if the number is not 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    name: &'static str,
    number: u64,
    run_id: &'static str,
    source: &'static str,
    created: i64,
    updated: i64,
    tags: &'static [(&'static str, &'static str)],
    is_of_prompt: bool,
    stage: &'static str,
    aliases: &'static [&'static str],
    description: &'static str,
    params: &'static [(&'static str, &'static str)],
    metrics: &'static [(&'static str, f64)],
}

impl Row {
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }
}

impl ModelRow for Row {
    fn name(&self) -> &str {
        self.name
    }
    fn last_updated(&self) -> Timestamp {
        Timestamp::from_millis(self.updated)
    }
    fn tag(&self, key: &str) -> Option<&str> {
        self.tag(key)
    }
    fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created)
    }
    fn description(&self) -> Fact<&str> {
        Fact::Known(self.description)
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        self.aliases.iter().for_each(|a| see(a));
    }
    fn each_stage(&self, see: &mut dyn FnMut(&str)) {
        self.stage.split(' ').filter(|s| !s.is_empty()).for_each(see);
    }
}

impl VersionRow for Row {
    fn name(&self) -> &str {
        self.name
    }
    fn number(&self) -> u64 {
        self.number
    }
    fn run_id(&self) -> &str {
        self.run_id
    }
    fn source_path(&self) -> &str {
        self.source
    }
    fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created)
    }
    fn last_updated(&self) -> Timestamp {
        Timestamp::from_millis(self.updated)
    }
    fn tag(&self, key: &str) -> Option<&str> {
        self.tag(key)
    }
    fn is_of_prompt(&self) -> bool {
        self.is_of_prompt
    }
    fn stage(&self) -> &str {
        self.stage
    }
    fn description(&self) -> Fact<&str> {
        Fact::Known(self.description)
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        self.aliases.iter().for_each(|a| see(a));
    }
    fn param(&self, key: &str) -> Fact<&str> {
        self.params.iter().find(|(k, _)| *k == key).map_or(Fact::Absent, |(_, v)| Fact::Known(v))
    }
    fn metric(&self, key: &str) -> Fact<f64> {
        self.metrics.iter().find(|(k, _)| *k == key).map_or(Fact::Absent, |(_, v)| Fact::Known(*v))
    }
}

/// A row with empty values.
const BARE: Row = Row {
    name: "",
    number: 0,
    run_id: "",
    source: "",
    created: 0,
    updated: 0,
    tags: &[],
    is_of_prompt: false,
    stage: "",
    aliases: &[],
    description: "",
    params: &[],
    metrics: &[],
};

const fn model(name: &'static str, updated: i64, tags: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, updated, tags, ..BARE }
}

const fn version(name: &'static str, number: u64, run_id: &'static str, source: &'static str, updated: i64) -> Row {
    Row { name, number, run_id, source, created: 100 - updated, updated, stage: "None", ..BARE }
}

const MODELS: &[Row] = &[
    model("Beer", 3, &[("team", "red"), ("my key", "1"), ("a.b", "x")]),
    model("wine", 2, &[("team", "Blue"), ("version", "v1")]),
    model("wine 2", 1, &[("Team", "red"), (IS_PROMPT, "false")]),
    model("it's", 2, &[("team", "")]),
    model("hello", 9, &[(IS_PROMPT, "true"), ("team", "red")]),
];

const VERSIONS: &[Row] = &[
    version("Beer", 1, "r1", "s3://b/1", 1),
    version("Beer", 2, "r2", "s3://b/2", 4),
    version("wine", 1, "", "models:/Beer/1", 4),
    version("wine", 10, "r1", "s3://b/10", 2),
    Row { tags: &[(IS_PROMPT, "true"), ("k", "v")], is_of_prompt: true, ..version("hello", 1, "", "dummy-source", 9) },
];

fn models(filter: &str) -> Result<Vec<&'static str>, String> {
    let filter = Filter::models(filter).map_err(|e| e.to_string())?;
    Ok(MODELS.iter().filter(|m| filter.matches(*m)).map(|m| m.name).collect())
}

fn versions(filter: &str) -> Result<Vec<String>, String> {
    let filter = Filter::versions(filter).map_err(|e| e.to_string())?;
    Ok(VERSIONS.iter().filter(|v| filter.matches(*v)).map(|v| format!("{}/{}", v.name, v.number)).collect())
}

#[test]
fn models_are_found_by_name_and_tags() {
    let all = ["Beer", "wine", "wine 2", "it's"];
    for (filter, want) in [
        // An empty filter matches all models.
        ("", &all[..]),
        // Comparators of texts, in any case.
        ("name = 'wine'", &["wine"]),
        ("name != 'wine'", &["Beer", "wine 2", "it's"]),
        ("name LIKE 'wine%'", &["wine", "wine 2"]),
        ("name like 'WINE%'", &[]),
        ("name ILIKE 'WINE%'", &["wine", "wine 2"]),
        ("name LIKE 'w_ne'", &["wine"]),
        ("name IN ('wine', \"Beer\")", &["Beer", "wine"]),
        ("name in('wine',)", &["wine"]),
        ("name NOT IN ('wine', 'Beer')", &["wine 2", "it's"]),
        ("name not  in ('wine', 'Beer')", &["wine 2", "it's"]),
        ("attribute.name = 'wine'", &["wine"]),
        ("name='wine'", &["wine"]),
        ("\tname\n=\r\n'wine' ", &["wine"]),
        // Quotes: both kinds, without escapes.
        ("name = \"it's\"", &["it's"]),
        ("name = 'it''s'", &[]),
        (r"name = 'it\'s'", &[]),
        // All clauses must hold; AND in any case, superfluous or missing.
        ("name LIKE 'wine%' AND name LIKE '%2'", &["wine 2"]),
        ("name LIKE 'wine%' and name LIKE '%2'", &["wine 2"]),
        ("AND name = 'wine' AND", &["wine"]),
        ("name LIKE 'wine%' name LIKE '%2'", &["wine 2"]),
        ("name LIKE 'wine%' AND AND name LIKE '%2'", &["wine 2"]),
        ("AND", &all[..]),
        // Tags: both words, case-sensitive keys, quotes for special characters.
        ("tags.team = 'red'", &["Beer"]),
        ("tag.team = 'red'", &["Beer"]),
        ("tags.Team = 'red'", &["wine 2"]),
        ("tags.`my key` = '1'", &["Beer"]),
        ("tags.\"my key\" = '1'", &["Beer"]),
        ("tags.'my key' = '1'", &["Beer"]),
        ("tags.a.b = 'x'", &["Beer"]),
        ("tags.`a.b` = 'x'", &["Beer"]),
        ("tags.version = 'v1'", &["wine"]),
        ("tags.team LIKE '%e%'", &["Beer", "wine"]),
        ("tags.team ILIKE 'b%'", &["wine"]),
        ("tags.team = ''", &["it's"]),
        ("tags.team != 'red'", &["wine", "it's"]),
        ("tags.nobody != 'red'", &[]),
        ("tags.team != 'red' AND tags.team != ''", &["wine"]),
        ("tags.team = 'red' AND tags.team = 'blue'", &[]),
    ] {
        assert_eq!(models(filter), Ok(want.to_vec()), "{filter}");
    }
}

#[test]
fn prompts_are_hidden_unless_asked_for() {
    let plain = ["Beer", "wine", "wine 2", "it's"];
    for (filter, want) in [
        ("tag.`mlflow.prompt.is_prompt` != 'true'", &plain[..]),
        ("tags.`mlflow.prompt.is_prompt` = 'false'", &plain),
        ("tags.mlflow.prompt.is_prompt LIKE 'x'", &plain),
        ("tags.`mlflow.prompt.is_prompt` = 'true'", &["hello"]),
        ("tags.`mlflow.prompt.is_prompt` != 'false'", &["hello"]),
        ("tags.`mlflow.prompt.is_prompt` != 'FALSE'", &["wine 2", "hello"]),
        ("tags.`mlflow.prompt.is_prompt` = 'TRUE'", &[]),
        ("name LIKE 'wi%' AND tag.`mlflow.prompt.is_prompt` != 'true'", &["wine", "wine 2"]),
        ("tags.team = 'red' AND tag.`mlflow.prompt.is_prompt` = 'true'", &["hello"]),
        // The first clause on the tag decides; the client adds its own clause after the user's clauses.
        ("tags.`mlflow.prompt.is_prompt` = 'true' AND tag.`mlflow.prompt.is_prompt` != 'true'", &[]),
        ("tags.`mlflow.prompt.is_prompt` != 'true' AND tag.`mlflow.prompt.is_prompt` = 'true'", &plain),
    ] {
        assert_eq!(models(filter), Ok(want.to_vec()), "{filter}");
    }
    assert_eq!(versions("tags.k = 'v'"), Ok(vec![]));
    assert_eq!(
        versions("name = 'hello' AND tag.`mlflow.prompt.is_prompt` = 'true' AND tags.k = 'v'"),
        Ok(vec!["hello/1".into()])
    );
}

#[test]
fn versions_are_found_by_number_run_and_source_too() {
    for (filter, want) in [
        ("", &["Beer/1", "Beer/2", "wine/1", "wine/10"][..]),
        ("name = 'Beer'", &["Beer/1", "Beer/2"]),
        ("run_id = 'r1'", &["Beer/1", "wine/10"]),
        ("run_id IN ('r1', 'r2')", &["Beer/1", "Beer/2", "wine/10"]),
        ("run_id NOT IN ('r1', 'r2')", &["wine/1"]),
        ("run_id != 'r1'", &["Beer/2", "wine/1"]),
        ("source_path LIKE 's3:%' AND name = 'wine'", &["wine/10"]),
        ("source_path = 'models:/Beer/1'", &["wine/1"]),
        ("version_number = 2", &["Beer/2"]),
        ("version_number != 1", &["Beer/2", "wine/10"]),
        ("version_number > 2", &["wine/10"]),
        ("version_number >= 2", &["Beer/2", "wine/10"]),
        ("version_number < 2", &["Beer/1", "wine/1"]),
        ("version_number <= 2 AND name = 'Beer'", &["Beer/1", "Beer/2"]),
        ("attribute.version_number = '10'", &["wine/10"]),
        ("version_number = \" 1_0 \"", &["wine/10"]),
        ("version_number > -1 and version_number<2", &["Beer/1", "wine/1"]),
    ] {
        assert_eq!(versions(filter), Ok(want.iter().map(|s| (*s).to_owned()).collect()), "{filter}");
    }
}

#[test]
fn wrong_filters_are_refused_in_mlflows_words() {
    let unquoted = "Parameter value is either not quoted or unidentified quote types used for string value";
    let quoted_or_list = "Expected a quoted string value or a list of quoted string values for attributes. Got value";
    let list = "While parsing a list in the query, expected a non-empty list of string values, but got";
    for (filter, error) in [
        ("foo = 'x'", "Invalid attribute key 'foo' specified. Valid keys are '{'name'}'".to_owned()),
        ("version_number = 1", "Invalid attribute key 'version_number' specified. Valid keys are '{'name'}'".into()),
        ("Name = 'x'", "Invalid attribute key 'Name' specified. Valid keys are '{'name'}'".into()),
        ("`name` = 'x'", "Invalid attribute key '`name`' specified. Valid keys are '{'name'}'".into()),
        ("attribute.`name` = 'x'", "Invalid attribute key '`name`' specified. Valid keys are '{'name'}'".into()),
        ("params.x = 'y'", "Invalid entity type 'params'. Valid entity types are ('attribute', 'tag', 'tags')".into()),
        ("attr.name = 'y'", "Invalid entity type 'attr'. Valid entity types are ('attribute', 'tag', 'tags')".into()),
        (
            "attributes.name = 'y'",
            "Invalid entity type 'attributes'. Valid entity types are ('attribute', 'tag', 'tags')".into(),
        ),
        ("name > 'x'", "Invalid comparator for attribute: >".into()),
        ("name == 'x'", "Invalid comparator for attribute: ==".into()),
        ("name <> 'x'", "Invalid comparator for attribute: <>".into()),
        ("name not like 'x'", "Invalid comparator for attribute: NOT LIKE".into()),
        ("name RLIKE 'x'", "Invalid comparator for attribute: RLIKE".into()),
        ("tags.k > 'x'", "Invalid comparator for tag: >".into()),
        ("name = s1", format!("{unquoted} s1. Use either single or double quotes.")),
        ("tags.k = s1", format!("{unquoted} s1. Use either single or double quotes.")),
        ("name = 5", format!("{quoted_or_list} 5")),
        ("name = NULL", format!("{quoted_or_list} NULL")),
        ("name = ('x')", format!("{quoted_or_list} ('x')")),
        ("tags.k = 5", "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5".into()),
        ("tags.k IN ('x')", "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('x')".into()),
        ("NOT name = 'a'", "Invalid clause(s) in filter string: NOT".into()),
        ("(name = 'a'", "Invalid clause(s) in filter string: (".into()),
        ("name = 'a' OR", "Invalid clause(s) in filter string: OR".into()),
        ("name LIKE", "Invalid clause(s) in filter string: name, LIKE".into()),
        ("name IN 'x'", "Invalid clause(s) in filter string: name, IN, 'x'".into()),
        ("name = 'a' foo", "Invalid clause(s) in filter string: name = 'a' foo".into()),
        ("name = 'a' ORDER BY name", "Invalid clause(s) in filter string: ORDER BY, name".into()),
        ("name = 'a';", "Invalid clause(s) in filter string: ;".into()),
        ("name = 'a", "Invalid clause(s) in filter string: name, =, ', a".into()),
        ("name = 'a' -- x", "Invalid clause(s) in filter string: -- x".into()),
        ("name IN ('a') name IN ('b')", "Invalid clause(s) in filter string: name, IN, ('a') name, IN, ('b')".into()),
        ("'name' = 'x'", "Invalid comparison clause. Expected 'Identifier' found ''name''".into()),
        ("tags.a/b = 'x'", "Invalid comparison clause. Expected 'Identifier' found 'tags.a/b'".into()),
        (
            "name = 'a'; name = 'b'",
            "Search filter contained multiple expression \"name = 'a'; name = 'b'\". Provide AND-ed expression list."
                .into(),
        ),
        ("   ", "Invalid filter '   '. Could not be parsed.".into()),
        ("name IN ()", format!("{list} empty list")),
        ("name IN ('a',,)", format!("{list} ill-formed list.")),
        ("name IN (wine)", format!("{list} ill-formed list.")),
        (
            "name IN (1, 2)",
            "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
             type in list: (1, 2)"
                .into(),
        ),
        ("name IS NULL", "IS NULL / IS NOT NULL is not supported for registered model search.".into()),
        ("tags.k is not null", "IS NULL / IS NOT NULL is not supported for registered model search.".into()),
        // Keys and values are checked before comparators.
        ("name > 'x' AND foo = 'y'", "Invalid attribute key 'foo' specified. Valid keys are '{'name'}'".into()),
    ] {
        assert_eq!(models(filter), Err(error), "{filter}");
    }
}

/// Rows for the extended language.
const MORE: &[Row] = &[
    Row {
        stage: "Production",
        aliases: &["champion", "blue"],
        description: "The first\nof all",
        params: &[("C", "0.1"), ("my key", "x")],
        metrics: &[("auc", 0.91), ("loss", f64::NAN)],
        ..version("wine", 1, "", "", 10)
    },
    Row { stage: "Staging", params: &[("C", "1")], metrics: &[("auc", 0.5)], ..version("wine", 2, "", "", 20) },
    Row { aliases: &["champion"], ..version("beer", 3, "", "", 30) },
];

#[test]
fn a_larger_language_finds_by_alias_stage_text_time_parameter_and_metric() {
    let found = |filter: &str| {
        let filter = Filter::versions(filter).map_err(|e| e.to_string())?;
        Ok(MORE.iter().filter(|v| filter.matches(*v)).map(|v| v.number).collect::<Vec<u64>>())
    };
    for (filter, want) in [
        ("alias = 'champion'", &[1, 3][..]),
        ("alias != 'champion'", &[2]),
        ("alias LIKE 'b%'", &[1]),
        ("alias IN ('blue', 'green')", &[1]),
        ("alias NOT IN ('blue', 'green')", &[2, 3]),
        ("stage = 'Production'", &[1]),
        ("current_stage != 'None'", &[1, 2]),
        ("stage IN ('Staging', 'None')", &[2, 3]),
        ("description LIKE '%first%'", &[1]),
        ("description = ''", &[2, 3]),
        ("creation_timestamp > 75", &[1, 2]),
        ("creation_timestamp >= '1970-01-01T00:00:00.080Z'", &[1, 2]),
        ("last_updated_timestamp < 20", &[1]),
        ("params.C = '0.1'", &[1]),
        ("param.C != '0.1'", &[2]),
        ("params.`my key` LIKE 'x'", &[1]),
        ("metrics.auc > 0.5", &[1]),
        ("metrics.auc >= 0.5", &[1, 2]),
        ("metrics.auc < 1", &[1, 2]),
        ("metric.loss > 0", &[]),
        ("metrics.nothing = 0", &[]),
        ("attribute.stage = 'Staging'", &[2]),
        // AND binds more strongly than OR; parentheses group, also around MLflow's own clauses.
        ("stage = 'Staging' OR alias = 'champion'", &[1, 2, 3]),
        ("name = 'wine' AND stage = 'Staging' OR name = 'beer'", &[2, 3]),
        ("name = 'wine' and (stage = 'Staging' or alias = 'blue')", &[1, 2]),
        ("(name = 'beer')", &[3]),
        ("((name IN ('beer')) OR (metrics.auc > 0.9 AND params.C = '0.1'))", &[1, 3]),
        ("name = 'beer' OR name = 'wine' AND version_number = 2", &[2, 3]),
        // The clause that MLflow's client adds belongs to the last side of the OR, and only hides prompts.
        ("name = 'beer' OR version_number = 1 AND tag.`mlflow.prompt.is_prompt` != 'true'", &[1, 3]),
    ] {
        assert_eq!(found(filter), Ok(want.to_vec()), "{filter}");
    }
    for (filter, error) in [
        ("stage > 'x'", "Invalid comparator for attribute: >"),
        ("metrics.auc > 'x'", "Expected numeric value type for metric. Found 'x'"),
        ("metrics.auc LIKE 1", "Invalid comparator for metric: LIKE"),
        ("params.C > '1'", "Invalid comparator for param: >"),
        ("params.C = 1", "Expected a quoted string value for param (e.g. 'my-value'). Got value 1"),
        (
            "creation_timestamp > 'soon'",
            "Invalid value for a time: 'soon'. Write milliseconds since the epoch, or a time such as '2026-03-01'.",
        ),
        (
            "description IN ('x')",
            "Only ['name', 'run_id'] attributes support comparison with a list of quoted string values.",
        ),
        ("name = 'a' OR version_number = 'x'", "Invalid value for numeric attribute 'version_number': 'x'"),
        ("NOT stage = 'x'", "Invalid clause(s) in filter string: NOT"),
    ] {
        assert_eq!(found(filter), Err(error.to_owned()), "{filter}");
    }
    let clauses = vec!["(name = 'a' OR name = 'b')"; 26].join(" AND ");
    assert!(Filter::versions(&clauses).is_err_and(|e| e.to_string().contains("at most 50 are allowed")));
}

#[test]
fn a_filter_of_versions_by_a_name_in_an_or_names_no_model() {
    assert_eq!(Filter::versions("name = 'a' AND (stage = 'x' OR alias = 'y')").unwrap().model(), Some("a"));
    assert_eq!(Filter::versions("name = 'a' OR name = 'b'").unwrap().model(), None);
    assert_eq!(Filter::versions("tags.a = 'x' OR tags.b = 'y'").unwrap().tags().count(), 0);
}

#[test]
fn models_are_found_by_alias_and_stage_of_their_versions() {
    let rows = [
        Row { stage: "Production Staging", aliases: &["champion"], created: 5, ..model("a", 1, &[]) },
        Row { stage: "Archived", description: "old", created: 9, ..model("b", 1, &[]) },
    ];
    for (filter, want) in [
        ("stage = 'Staging'", "a"),
        ("stage != 'Staging'", "b"),
        ("alias = 'champion' AND stage = 'Production'", "a"),
        ("description ILIKE 'OLD'", "b"),
        ("creation_timestamp > 5 OR alias = 'champion'", "ab"),
        ("last_updated_timestamp > 1", ""),
    ] {
        let filter = Filter::models(filter).unwrap();
        let found: String = rows.iter().filter(|m| filter.matches(*m)).map(|m| m.name).collect();
        assert_eq!(found, want, "{filter:?}");
    }
    assert!(Filter::models("params.x = 'y'").is_err() && Filter::models("(metrics.x = 1)").is_err());
}

#[test]
fn wrong_filters_of_versions_are_refused_in_mlflows_words() {
    let number = "Invalid value for numeric attribute 'version_number':";
    for (filter, error) in [
        (
            "foo = 'x'",
            "Invalid attribute key 'foo' specified. Valid keys are '{'name', 'version_number', 'run_id', \
             'source_path'}'"
                .to_owned(),
        ),
        ("run_id > 'x'", "Invalid comparator for attribute: >".into()),
        ("version_number LIKE '1'", "Invalid comparator for attribute version_number: LIKE".into()),
        (
            "source_path IN ('x')",
            "Only ['name', 'run_id'] attributes support comparison with a list of quoted string values.".into(),
        ),
        (
            "version_number IN ('1')",
            "Only ['name', 'run_id'] attributes support comparison with a list of quoted string values.".into(),
        ),
        ("run_id IN (", "Invalid clause(s) in filter string: run_id, IN, (".into()),
        ("run_id IN", "Invalid clause(s) in filter string: run_id, IN".into()),
        ("version_number = 1.5", format!("{number} 1.5")),
        ("version_number = '1.5'", format!("{number} '1.5'")),
        ("version_number = 'it''s'", format!("{number} \"it''s\"")),
        ("version_number = 99999999999999999999", format!("{number} 99999999999999999999")),
        (
            "name = 5",
            "Only the '{'version_number', 'creation_timestamp', 'last_updated_timestamp'}' attributes support \
             comparison with numeric values."
                .into(),
        ),
        ("version = 1", "Invalid clause(s) in filter string: version, =, 1".into()),
        ("run_id IS NULL", "IS NULL / IS NOT NULL is not supported for model version search.".into()),
    ] {
        assert_eq!(versions(filter), Err(error), "{filter}");
    }
}

#[test]
fn filters_have_limits() {
    let clauses = |n: usize| vec!["name = 'a'"; n].join(" AND ");
    assert!(Filter::models(&clauses(MAX_CLAUSES)).is_ok());
    assert_eq!(
        models(&clauses(MAX_CLAUSES + 1)),
        Err("Invalid search: filter has 51 clauses; at most 50 are allowed".into())
    );
    let long = format!("name = '{}'", "a".repeat(MAX_FILTER));
    assert_eq!(models(&long), Err("Invalid search: filter has 8201 bytes; at most 8192 are allowed".into()));
    for hostile in
        ["(".repeat(MAX_FILTER), "'a".repeat(4000), "a.".repeat(4000), "a=".repeat(4000), "`'\"".repeat(2000)]
    {
        assert!(Filter::models(&hostile).is_err());
    }
}

fn entries(order_by: &[&str]) -> Vec<String> {
    order_by.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn models_are_ordered_by_name_or_last_change() {
    for (order_by, want) in [
        (&[][..], ["Beer", "it's", "wine", "wine 2"]),
        (&["name ASC"], ["Beer", "it's", "wine", "wine 2"]),
        (&["name desc"], ["wine 2", "wine", "it's", "Beer"]),
        (&["`name` DESC"], ["wine 2", "wine", "it's", "Beer"]),
        (&["name\t\nDESC"], ["wine 2", "wine", "it's", "Beer"]),
        (&["timestamp"], ["wine 2", "it's", "wine", "Beer"]),
        (&["timestamp DESC"], ["Beer", "it's", "wine", "wine 2"]),
        (&["last_updated_timestamp DESC"], ["Beer", "it's", "wine", "wine 2"]),
        (&["timestamp DESC", "name DESC"], ["Beer", "wine", "it's", "wine 2"]),
    ] {
        let order = Order::models(&entries(order_by)).map_err(|e| format!("{order_by:?}: {e}")).unwrap();
        let mut rows: Vec<_> = MODELS[..4].to_vec();
        rows.sort_by(|a, b| order.compare(a, b));
        assert_eq!(rows.iter().map(|r| r.name).collect::<Vec<_>>(), want, "{order_by:?}");
    }
}

#[test]
fn versions_are_ordered_by_name_number_or_time() {
    for (order_by, want) in [
        (&[][..], "Beer/2 wine/1 wine/10 Beer/1"),
        (&["name"], "Beer/2 Beer/1 wine/10 wine/1"),
        (&["version_number DESC"], "wine/10 Beer/2 Beer/1 wine/1"),
        (&["version_number"], "Beer/1 wine/1 Beer/2 wine/10"),
        (&["name", "version_number ASC"], "Beer/1 Beer/2 wine/1 wine/10"),
        (&["attribute.`name` DESC"], "wine/10 wine/1 Beer/2 Beer/1"),
        (&["creation_timestamp"], "Beer/2 wine/1 wine/10 Beer/1"),
        (&["last_updated_timestamp"], "Beer/1 wine/10 Beer/2 wine/1"),
    ] {
        let order = Order::versions(&entries(order_by)).map_err(|e| format!("{order_by:?}: {e}")).unwrap();
        let mut rows: Vec<_> = VERSIONS[..4].to_vec();
        rows.sort_by(|a, b| order.compare(a, b));
        let got: Vec<_> = rows.iter().map(|r| format!("{}/{}", r.name, r.number)).collect();
        assert_eq!(got.join(" "), want, "{order_by:?}");
    }
}

#[test]
fn wrong_orders_are_refused_in_mlflows_words() {
    let keys = "{'name', 'version_number', 'creation_timestamp', 'last_updated_timestamp'}";
    let models = |o: &[&str]| Order::models(&entries(o)).map(|_| ()).map_err(|e| e.to_string());
    let versions = |o: &[&str]| Order::versions(&entries(o)).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(
        models(&["creation_timestamp"]),
        Err("Invalid order by key 'creation_timestamp' specified. Valid keys are '{'timestamp', 'name'}'".into())
    );
    assert_eq!(
        versions(&["run_id"]),
        Err(format!("Invalid attribute key 'run_id' specified. Valid keys are '{keys}'"))
    );
    assert_eq!(versions(&["tags.x"]), Err(format!("Invalid order by key 'x' specified. Valid keys are {keys}")));
    for read in [&models as &dyn Fn(&[&str]) -> Result<(), String>, &versions] {
        assert_eq!(read(&["name sideways"]), Err("Invalid ordering key in order_by clause 'name sideways'.".into()));
        for bad in [
            "version DESC",
            "",
            "name DESC NULLS LAST",
            "name, name",
            " name",
            "name ",
            "name asc asc",
            "TIMESTAMP",
            "(name)",
            "name;",
            "it's",
            "na-me",
        ] {
            assert_eq!(read(&[bad]), Err(format!("Invalid order_by clause '{bad}'. Could not be parsed.")));
        }
        assert_eq!(
            read(&["name", "name DESC"]),
            Err("`order_by` contains duplicate fields: ['name', 'name DESC']".into())
        );
        assert_eq!(read(&["name"; 17]), Err("Invalid search: order_by has 17 entries; at most 16 are allowed".into()));
    }
    assert_eq!(
        models(&["timestamp", "last_updated_timestamp"]),
        Err("`order_by` contains duplicate fields: ['timestamp', 'last_updated_timestamp']".into())
    );
}
