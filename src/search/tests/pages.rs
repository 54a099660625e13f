//! Pages of results, and properties of all texts.

use super::*;

#[test]
fn a_page_has_at_least_one_row_and_at_most_the_limit() {
    let size = |limits: PageLimits, given| limits.size(given).map(PageSize::get).map_err(|e| e.to_string());
    let hint = "for parameter 'max_results' supplied:  Hint: Value was of type 'str'. See the API docs for more \
                information about request parameters.";
    assert_eq!(size(PageLimits::MODELS, None), Ok(100));
    assert_eq!(size(PageLimits::MODELS, Some("1000")), Ok(1000));
    assert_eq!(size(PageLimits::MODELS, Some("1001")), Err(format!("Invalid value \"1001\" {hint}")));
    assert_eq!(size(PageLimits::MODELS, Some("x")), Err(format!("Invalid value \"x\" {hint}")));
    assert_eq!(size(PageLimits::VERSIONS, None), Ok(200_000));
    assert_eq!(size(PageLimits::VERSIONS, Some("200001")), Err(format!("Invalid value \"200001\" {hint}")));
    assert_eq!(size(PageLimits::DATABRICKS_VERSIONS, Some("10001")), Err(format!("Invalid value \"10001\" {hint}")));
    for (given, shown) in [("0", "0"), ("-5", "-5")] {
        assert_eq!(
            size(PageLimits::VERSIONS, Some(given)),
            Err(format!("Invalid value for max_results. It must be a positive integer, but got {shown}"))
        );
    }
}

#[test]
fn a_page_token_serves_one_search_at_one_commit() {
    let key = TokenKey::new([7; 32]);
    let query = Query::models("name LIKE 'w%'", &[]).unwrap();
    let token = query.token(100, "abc123", &key);
    assert_eq!(query.start("", &key), Ok(PageStart { offset: 0, commit: None }));
    assert_eq!(query.start(&token, &key), Ok(PageStart { offset: 100, commit: Some("abc123".into()) }));
    for other in [Query::models("", &[]).unwrap(), Query::models("name LIKE 'w%'", &entries(&["name"])).unwrap()] {
        assert_eq!(other.start(&token, &key), Err(SearchError::TokenForeign));
    }
    let versions = Query::versions("name LIKE 'w%'", &[]).unwrap();
    assert_eq!(versions.start(&token, &key), Err(SearchError::TokenForeign));
    assert_eq!(query.start(&token, &TokenKey::new([8; 32])), Err(SearchError::TokenForeign));
    assert_ne!(query.token(101, "abc123", &key), token);
}

#[test]
fn bad_page_tokens_are_refused_in_mlflows_words() {
    use base64::Engine as _;
    let key = TokenKey::new([7; 32]);
    let query = Query::models("", &[]).unwrap();
    let start = |token: &str| query.start(token, &key).map_err(|e| e.to_string());
    let encoded = |text: &str| base64::engine::general_purpose::URL_SAFE.encode(text);
    assert_eq!(start("evilhax"), Err("Invalid page token, could not base64-decode".into()));
    assert_eq!(start(&encoded("notjson")), Err("Invalid page token, decoded value=b'notjson'".into()));
    assert_eq!(start(&encoded("{}")), Err("Invalid page token, parsed value={}".into()));
    assert_eq!(start(&encoded("{\"offset\":5}")), Err("Invalid page token, parsed value={\"offset\":5}".into()));
    let forged = "{\"offset\":5,\"commit\":\"abc\",\"code\":\"00\"}";
    assert_eq!(start(&encoded(forged)), Err(SearchError::TokenForeign.to_string()));
    assert_eq!(
        start(&"A".repeat(2000)),
        Err("Invalid search: page_token has 2000 bytes; at most 1024 are allowed".into())
    );
}

#[test]
fn an_offset_behind_the_last_row_is_an_empty_page() {
    let query = Query::models("", &[]).unwrap();
    let page = query.page(MODELS, 50, PageLimits::MODELS.size(None).unwrap());
    assert_eq!(page, ResultPage { rows: vec![], next: None });
}

#[test]
fn a_page_deep_in_many_rows_is_the_one_of_the_sorted_answer() {
    let rows: Vec<Row> =
        (0..100_000).map(|i| Row { updated: i * 7919 % 1000, number: i as u64, ..MODELS[i as usize % 4] }).collect();
    let query = Query::versions("tags.team = 'red' AND name ILIKE 'b%'", &[]).unwrap();
    let page = query.page(&rows, 1000, PageLimits::VERSIONS.size(Some("100")).unwrap());
    let mut sorted: Vec<&Row> = rows.iter().filter(|r| query.filter.matches(r)).collect();
    sorted.sort_by(|a, b| query.order.compare(a, b));
    assert_eq!(page, ResultPage { rows: sorted[1000..1100].to_vec(), next: Some(1100) });
}

/// Fragments of filters.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "name",
        "run_id",
        "version_number",
        "tags.k",
        "tags.`k k`",
        "attribute.name",
        "=",
        "!=",
        "LIKE",
        "IN",
        "NOT",
        "IS",
        "NULL",
        "AND",
        "(",
        ")",
        ",",
        "'a'",
        "\"b\"",
        "1",
        "1.5",
        ";",
        "'",
        "\\",
        "%",
        ".",
        "`",
        " ",
        "é",
        "--",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|w| w.concat())
}

proptest! {
    #[test]
    fn no_text_makes_a_search_panic(text in prop_oneof![".{0,300}", pieces()]) {
        let entries = [text.clone()];
        let _ = (Query::models(&text, &entries), Query::versions(&text, &entries));
        let _ = (Filter::models(&text), Filter::versions(&text), PageLimits::MODELS.size(Some(&text)));
        let _ = Query::models("", &[]).unwrap().start(&text, &TokenKey::new([0; 32]));
    }

    #[test]
    fn free_text_in_the_box_is_always_a_filter(text in ".{0,60}") {
        prop_assume!(!text.contains("tags."));
        let filter = Filter::models(&box_filter(&text));
        prop_assert!(filter.is_ok(), "{:?} {:?}", box_filter(&text), filter);
    }

    #[test]
    fn what_is_typed_into_the_box_finds_the_names_that_hold_it(before in ".{0,9}", text in "[^%_'\"]{1,40}") {
        let typed = text.trim();
        prop_assume!(!typed.is_empty() && !typed.contains("tags."));
        let name: &'static str = Box::leak(format!("{before}{}!", typed.to_uppercase()).into_boxed_str());
        prop_assume!(name.to_lowercase().contains(&typed.to_lowercase()));
        prop_assert!(Filter::models(&box_filter(&text)).is_ok_and(|f| f.matches(&model(name, 0, &[]))));
    }

    #[test]
    fn all_pages_together_are_the_whole_answer(
        changes in prop::collection::vec(0_i64..5, 0..60),
        size in 1_usize..9,
        order in prop::sample::select(vec!["name", "version_number DESC", "last_updated_timestamp", "creation_timestamp DESC"]),
    ) {
        let rows: Vec<Row> =
            changes.iter().enumerate().map(|(i, &c)| version(["a", "b", "c"][i % 3], i as u64, "", "", c)).collect();
        let query = Query::versions("name != 'c'", &entries(&[order])).unwrap();
        let mut whole: Vec<Row> = rows.iter().filter(|r| query.filter.matches(*r)).copied().collect();
        whole.sort_by(|a, b| query.order.compare(a, b));
        let size = PageLimits::VERSIONS.size(Some(&size.to_string())).unwrap();
        let key = TokenKey::new([1; 32]);
        let mut paged = Vec::new();
        let mut token = String::new();
        loop {
            let start = query.start(&token, &key).unwrap();
            let page = query.page(rows.iter().copied(), start.offset, size);
            prop_assert!(page.rows.len() <= size.get());
            paged.extend(page.rows);
            let Some(next) = page.next else { break };
            token = query.token(next, "c0ffee", &key);
        }
        prop_assert_eq!(paged, whole);
    }
}
