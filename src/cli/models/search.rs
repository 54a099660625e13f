//! `greenroom search`: models and versions, in MLflow's search language.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use sha2::{Digest as _, Sha256};

use super::model;
use crate::cli::terminal::output::local;
use crate::cli::terminal::report::{self, CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::index::{Index, VersionRow};
use crate::name::AliasName;
use crate::registry::Registry;
use crate::search::{PageLimits, PageSize, PageStart, Query, Target, TokenKey};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::view::{ModelSearch, Output, RegisteredModel, VersionSearch, VersionSummary};

/// Search models or versions in MLflow's search language
///
/// Example: `greenroom search versions "stage = 'Production' AND metrics.auc > 0.9"`
///
/// The language has more keys than MLflow's own, such as stage and alias.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SearchCommand {
    /// Search registered models by name, tags, alias, stage, description and time
    ///
    /// Example: `greenroom search models "name LIKE 'churn%'"`
    Models(SearchArgs),
    /// Search model versions by name, version_number, run_id, source_path, tags, alias, stage, description, time,
    /// params and metrics
    ///
    /// Example: `greenroom search versions "stage = 'Production' AND metrics.auc > 0.9"`
    Versions(SearchArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SearchArgs {
    /// Clauses joined by AND, OR and parentheses: KEY COMPARATOR 'VALUE'. Comparators: =, !=, LIKE, ILIKE, IN; also
    /// <, > for numbers and times. By default all are listed
    #[arg(value_name = "FILTER", default_value = "")]
    filter: String,
    /// The order, such as 'name DESC' or 'last_updated_timestamp'; can be repeated
    #[arg(long, value_name = "KEY [ASC|DESC]")]
    order_by: Vec<String>,
    /// Show at most this many results
    #[arg(long, value_name = "NUMBER")]
    max_results: Option<String>,
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
    /// Continue where an earlier response ended
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
    /// With `-o json`, print an object with the list and `next_page_token` instead of the list alone
    #[arg(long)]
    with_token: bool,
}

pub(in crate::cli) fn run(command: SearchCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        SearchCommand::Models(a) => models(&a, session),
        SearchCommand::Versions(a) => versions(&a, session),
    }
}

/// A parsed search.
struct SearchQuery<'a, T: Target> {
    query: Query<T>,
    size: PageSize,
    start: PageStart,
    key: TokenKey,
    args: &'a SearchArgs,
}

impl<'a, T: Target> SearchQuery<'a, T> {
    fn new(query: Query<T>, limits: PageLimits, args: &'a SearchArgs, registry: &Registry) -> Result<Self, CliError> {
        let key = token_key(&registry.snapshot()?)?;
        let start = match args.page_token.as_str() {
            "" => PageStart { offset: 0, commit: None },
            token => query.start(token, &key)?,
        };
        Ok(Self { size: limits.size(args.max_results.as_deref())?, query, start, key, args })
    }

    /// Prints the rows, and the command for the next page.
    fn print<R: Output>(
        &self,
        next: Option<usize>,
        index: &Index<'_>,
        (json, table): (impl FnOnce(Option<String>) -> R, &Table),
        session: &mut Session,
    ) -> Result<Exit, CliError> {
        let commit = index.tip().map(|c| c.to_string()).unwrap_or_default();
        let token = next.map(|offset| self.query.token(offset, &commit, &self.key));
        if !session.out.is_json() {
            if table.is_empty() {
                report::note("Nothing matches.");
            }
            table.print(&mut session.out);
        } else {
            let asked = self.args.with_token.then(|| token.clone().unwrap_or_default());
            session.out.json(&json(asked))?;
        }
        if let Some(token) = token.filter(|_| !self.args.with_token) {
            report::warn(&format!("there are more results; continue with --page-token {token}"));
        }
        Ok(Exit::Ok)
    }
}

/// The key of the page tokens of the command line. Everyone who can read the repository can make such tokens; that is
/// harmless, because a token gives access to nothing else. The key ties tokens to the registry.
fn token_key(snapshot: &Snapshot<'_>) -> Result<TokenKey, CliError> {
    let id = snapshot.settings()?.map(|s| s.id.to_string()).unwrap_or_default();
    Ok(TokenKey::new(Sha256::new().chain_update("command line\0").chain_update(id).finalize().into()))
}

fn models(args: &SearchArgs, session: &mut Session) -> Result<Exit, CliError> {
    let query = Query::models(&args.filter, &args.order_by)?;
    let registry = session.registry()?;
    session.note_edits(&registry, args.at.as_deref());
    let asked = SearchQuery::new(query, PageLimits::MODELS, args, &registry)?;
    let mut index = session.index_at(&registry, args.at.as_deref())?;
    let page = index.search_models(&asked.query, asked.start.offset, asked.size)?;
    index.expect(asked.start.commit.as_deref())?;
    let snapshot = registry.snapshot_of(index.tip())?;
    let mut json = Vec::new();
    let mut table = Table::new(&["NAME", "UPDATED", "CREATED BY", "DESCRIPTION"]);
    for row in &page.rows {
        let Ok(name) = row.name.parse() else { continue };
        let Some(view) = snapshot.model(&name)? else { continue };
        let Some(found) = model::shown(&snapshot, &view)? else { continue };
        let updated = Timestamp::from_millis(row.updated);
        if session.out.is_json() {
            json.push(RegisteredModel { updated_at: Some(updated), ..found });
            continue;
        }
        table.row([&row.name, &*local(updated), found.created_by.as_str(), found.description.first_line()]);
    }
    let shown = |token| match token {
        Some(next_page_token) => ModelSearch::Page { registered_models: json, next_page_token },
        None => ModelSearch::Rows(json),
    };
    asked.print(page.next, &index, (shown, &table), session)
}

fn versions(args: &SearchArgs, session: &mut Session) -> Result<Exit, CliError> {
    let query = Query::versions(&args.filter, &args.order_by)?;
    let registry = session.registry()?;
    session.note_edits(&registry, args.at.as_deref());
    let asked = SearchQuery::new(query, PageLimits::VERSIONS, args, &registry)?;
    let mut index = session.index_at(&registry, args.at.as_deref())?;
    let page = index.search_versions(&asked.query, asked.start.offset, asked.size)?;
    index.expect(asked.start.commit.as_deref())?;
    let snapshot = registry.snapshot_of(index.tip())?;
    let mut json = Vec::new();
    let mut table =
        Table::new(&["NAME", "VERSION", "STAGE", "ALIASES", "STATUS", "UPDATED", "CREATED BY", "DESCRIPTION"]);
    let mut aliases = HashMap::new();
    for row in &page.rows {
        let description = description(&snapshot, row)?;
        if !aliases.contains_key(row.model.as_ref()) {
            aliases.insert(row.model.to_string(), aliases_of(&snapshot, &row.model)?);
        }
        let of_model = aliases.get(row.model.as_ref()).into_iter().flatten();
        let own: Vec<&str> =
            of_model.filter(|(_, n)| *n == row.facts.number).map(|(alias, _)| alias.as_str()).collect();
        if session.out.is_json() {
            json.push(VersionSummary::of_row(row, &own, description));
            continue;
        }
        let f = &row.facts;
        table.row([
            row.model.as_ref(),
            &f.number.to_string(),
            &f.stage,
            &own.join(", "),
            &f.status,
            &local(Timestamp::from_millis(f.updated)),
            &f.created_by,
            description.lines().next().unwrap_or_default(),
        ]);
    }
    let shown = |token| match token {
        Some(next_page_token) => VersionSearch::Page { model_versions: json, next_page_token },
        None => VersionSearch::Rows(json),
    };
    asked.print(page.next, &index, (shown, &table), session)
}

/// The aliases of a model.
fn aliases_of(snapshot: &Snapshot<'_>, model: &str) -> Result<Vec<(AliasName, u64)>, CliError> {
    let Ok(name) = model.parse() else { return Ok(Vec::new()) };
    let all = snapshot.model(&name)?.map_or_else(|| Ok(Vec::new()), |view| view.aliases())?;
    Ok(all.into_iter().filter_map(|(alias, file)| Some((alias, file.value?.version))).collect())
}

/// The description of a version. The index holds only short ones, so a long one is read from the snapshot.
fn description(snapshot: &Snapshot<'_>, row: &VersionRow<'_>) -> Result<String, CliError> {
    if let Some(known) = &row.facts.description {
        return Ok(known.clone());
    }
    let Ok(name) = row.model.parse() else { return Ok(String::new()) };
    let view = snapshot.model(&name)?.map_or(Ok(None), |m| m.version(row.facts.number))?;
    let file = view.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value);
    Ok(file.map(|v| v.description.to_string()).unwrap_or_default())
}
