//! The search box of the model list: free text, or a filter whose values may lack quotes.

use super::lex::is_space;

/// Makes a filter from the text in the search box, by the rule of MLflow's and Databricks' web pages.
///
/// A text that contains `tags.` is a filter; its keys and values get missing quotes, as in ``tags.team=fraud AND
/// tags.cost-center = 12``. Any other text matches a part of a name, in any case. An empty text makes the empty filter.
/// [`super::Filter::models`] may still refuse the filter.
///
/// ```
/// use greenroom::search::box_filter;
/// assert_eq!(box_filter(" wine "), "name ilike '%wine%'");
/// assert_eq!(box_filter("tags.team=fraud"), "tags.team = 'fraud'");
/// ```
pub fn box_filter(typed: &str) -> String {
    let typed = typed.trim_matches(is_space);
    if typed.is_empty() {
        return String::new();
    }
    if !typed.contains("tags.") {
        return format!("name ilike {}", quote(&format!("%{typed}%")));
    }
    clauses(typed).into_iter().map(clause).collect::<Vec<_>>().join(" AND ")
}

/// Quotes a text for a filter. Filters have no escapes, so in a text with both kinds of quotes `_` replaces single
/// quotes.
fn quote(text: &str) -> String {
    match (text.contains('\''), text.contains('"')) {
        (false, _) => format!("'{text}'"),
        (true, false) => format!("\"{text}\""),
        (true, true) => format!("'{}'", text.replace('\'', "_")),
    }
}

/// Splits a filter at each `AND` outside of quotes.
fn clauses(filter: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut inside = None;
    for (at, c) in filter.char_indices() {
        match inside {
            Some(quote) if c == quote => inside = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"' | '`') => inside = Some(c),
            None => {
                let is_and = filter.get(at..at + 3).is_some_and(|w| w.eq_ignore_ascii_case("and"));
                let spaced = |s: Option<&str>, f: fn(&str) -> Option<char>| s.and_then(f).is_none_or(is_space);
                if is_and
                    && spaced(filter.get(..at), |s| s.chars().next_back())
                    && spaced(filter.get(at + 3..), |s| s.chars().next())
                {
                    out.push(filter.get(start..at).unwrap_or_default());
                    start = at + 3;
                }
            }
        }
    }
    out.push(filter.get(start..).unwrap_or_default());
    out.into_iter().map(|c| c.trim_matches(is_space)).filter(|c| !c.is_empty()).collect()
}

/// Adds missing quotes to the key and the value of a clause.
fn clause(written: &str) -> String {
    let Some((key, comparator, value)) = sides(written) else { return written.to_owned() };
    let value = if value.starts_with(['\'', '"', '(']) { value.to_owned() } else { quote(value) };
    let is_plain = |k: &str| k.chars().all(|c| c == '_' || c == '.' || c.is_alphanumeric());
    match key.split_once('.') {
        Some((entity @ ("tag" | "tags"), name)) if !name.contains(['`', '"', '\'']) && !is_plain(name) => {
            format!("{entity}.`{name}` {comparator} {value}")
        }
        _ => format!("{key} {comparator} {value}"),
    }
}

/// Returns the key, comparator and value of a clause.
fn sides(written: &str) -> Option<(&str, &str, &str)> {
    let mut inside = None;
    for (at, c) in written.char_indices() {
        match inside {
            Some(quote) if c == quote => inside = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"' | '`') => inside = Some(c),
            None => {
                let rest = written.get(at..)?;
                let before_is_space = written.get(..at)?.ends_with(is_space);
                let word = ["!=", "=", "like ", "ilike "].iter().find(|w| {
                    let is_word = w.ends_with(' ');
                    rest.get(..w.len()).is_some_and(|r| r.eq_ignore_ascii_case(w)) && (!is_word || before_is_space)
                });
                if let Some(word) = word {
                    let (comparator, value) = rest.split_at(word.len());
                    let key = written.get(..at)?.trim_matches(is_space);
                    return Some((key, comparator.trim(), value.trim_matches(is_space)));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Filter;
    use super::*;

    #[test]
    fn free_text_is_a_part_of_a_name() {
        assert_eq!(box_filter("  "), "");
        assert_eq!(box_filter("Wine and cheese"), "name ilike '%Wine and cheese%'");
        assert_eq!(box_filter("it's"), "name ilike \"%it's%\"");
        assert_eq!(box_filter("it's \"so\""), "name ilike '%it_s \"so\"%'");
        assert_eq!(box_filter("tag team"), "name ilike '%tag team%'");
    }

    #[test]
    fn tags_get_the_quotes_that_they_lack() {
        for (typed, filter) in [
            ("tags.team=fraud", "tags.team = 'fraud'"),
            ("tags.team = risk team and tags.env!=dev", "tags.team = 'risk team' AND tags.env != 'dev'"),
            ("name ilike \"%x%\" and tags.k = \"v and w\"", "name ilike \"%x%\" AND tags.k = \"v and w\""),
            ("tags.cost-center=12", "tags.`cost-center` = '12'"),
            ("tags.`my key` = it's", "tags.`my key` = \"it's\""),
            ("tags.like like %a%", "tags.like like '%a%'"),
        ] {
            assert_eq!(box_filter(typed), filter, "{typed}");
            assert!(Filter::models(filter).is_ok(), "{filter}");
        }
        assert_eq!(box_filter("wine tags.team"), "wine tags.team");
    }
}
