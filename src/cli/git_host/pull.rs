//! The report of `greenroom check BASE..HEAD` about a pull request, in each requested format.

use super::annotate::markdown::{self, Markdown};
use super::annotate::{Annotation, ReportStyle, github, gitlab, sarif};
use crate::cli::models::compare::{self, CompareSection, ComparedVersion, Row};
use crate::cli::terminal::output::{GREEN, Output, RED, YELLOW, styled};
use crate::cli::terminal::report::CliError;
use crate::entity::settings::{Evidence, StageRule};
use crate::event::{Event, TransitionCause};
use crate::gate::pull::{PullRequest, PullVerdict};
use crate::name::{ModelName, UserName};
use crate::phrase;
use crate::rules::{Fault, RULES, lacking};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::text::{listed, one_line};
use crate::time::Timestamp;
use crate::view::{self, PullReport};

/// The largest number of people, events and comparisons that are listed one by one.
const MANY: usize = 20;

/// A version that the merge would put into a stage.
struct MergedStage<'e> {
    model: &'e ModelName,
    version: u64,
    from: &'e Stage,
    to: &'e Stage,
}

/// A part of a stage's rule, and whether it holds; `None` if only the merge can tell.
struct Condition {
    asks: String,
    holds: Option<bool>,
}

/// A request that the merge would leave open, and the people who may decide it.
struct Open<'e> {
    model: &'e ModelName,
    version: u64,
    to: &'e Stage,
    users: Vec<UserName>,
}

/// A version beside the version that it would replace.
struct Compared {
    model: ModelName,
    heads: Vec<String>,
    parts: Vec<CompareSection>,
}

/// The contents of the report on a pull request.
pub(in crate::cli) struct Summary<'a> {
    pull: &'a PullRequest<'a>,
    judged: &'a PullVerdict,
    merger: Option<&'a UserName>,
    rules: Vec<(MergedStage<'a>, Vec<Condition>)>,
    open: Vec<Open<'a>>,
    compared: Vec<Compared>,
    /// The path of `greenroom.toml` from the repository's root.
    home: String,
}

impl<'a> Summary<'a> {
    /// Collects the contents.
    pub(in crate::cli) fn new(
        pull: &'a PullRequest<'a>,
        judged: &'a PullVerdict,
        merger: Option<&'a UserName>,
        now: Timestamp,
    ) -> Result<Self, CliError> {
        let (before, after) = (pull.before()?, pull.after()?);
        let mut rules = Vec::new();
        let mut compared = Vec::new();
        for entry in entries(&judged.diff.events) {
            let settings = before.settings()?;
            let leaving = settings.map_or(0, |s| s.approvals_to_leave(entry.from));
            let rule = settings.and_then(|s| s.rule(entry.to)).cloned();
            if let Some(rule) = rule.or((leaving > 0).then(StageRule::default)) {
                let conditions = conditions(&entry, (&rule, leaving), &after, &judged.faults, now)?;
                compared.extend(beside(&entry, &before, &after, compared.len())?);
                rules.push((entry, conditions));
            } else {
                compared.extend(beside(&entry, &before, &after, compared.len())?);
            }
        }
        let open = open(&judged.diff.events, &before)?;
        let home = before.full_path("greenroom.toml");
        Ok(Self { pull, judged, merger, rules, open, compared, home })
    }

    /// Writes the report in a format.
    pub(in crate::cli) fn report(&self, style: ReportStyle, out: &mut Output) -> Result<(), CliError> {
        let judged = self.judged;
        let faults = judged.faults.iter().map(|f| Annotation { problem: &f.problem, fault: true });
        let warnings = judged.warnings.iter().map(|w| Annotation { problem: w, fault: false });
        let findings: Vec<Annotation<'_>> = faults.chain(warnings).collect();
        match style {
            ReportStyle::Text => self.text(out),
            ReportStyle::Json => out.json(&self.view())?,
            ReportStyle::Github => {
                out.line(format!("{}{}", github::commands(&findings), github::notice(&self.verdict())).trim_end());
            }
            ReportStyle::Gitlab => out.report(&gitlab::report(&findings, &self.home))?,
            ReportStyle::Sarif => out.report(&sarif::log(&findings, &self.home))?,
            ReportStyle::Markdown => out.line(self.markdown().trim_end()),
        }
        Ok(())
    }

    /// The sentence that says who may merge.
    fn verdict(&self) -> String {
        let judged = self.judged;
        let names = |users: &[UserName]| listed(&users.iter().map(UserName::as_str).collect::<Vec<_>>(), MANY);
        let more = if judged.more { "; not all people were checked" } else { "" };
        match (judged.may_merge.as_slice(), self.merger, &judged.nearest) {
            ([], Some(user), _) => format!("{user} may not merge this."),
            ([], None, Some(nearest)) => {
                format!("No person may merge this; {nearest} has the fewest faults, which follow{more}.")
            }
            ([], None, None) => "This cannot be merged.".to_owned(),
            (users, _, _) => format!("{} may merge this{more}.", names(users)),
        }
    }

    /// The sentence that says what is merged and who wrote it.
    fn head(&self) -> String {
        let judged = self.judged;
        let base = self.pull.base.map_or_else(|| "nothing".to_owned(), |b| b.short());
        let count = match self.pull.commits.len() {
            1 => "1 commit".to_owned(),
            n => format!("{n} commits"),
        };
        let authors: Vec<&str> = judged.authors.iter().map(UserName::as_str).collect();
        let by = if authors.is_empty() { String::new() } else { format!(" by {}", authors.join(", ")) };
        let proof = if judged.proven || authors.is_empty() { "" } else { " (named by the commits, not proven)" };
        format!("Merging {} into {base}: {count}{by}{proof}", self.pull.tip.short())
    }

    fn text(&self, out: &mut Output) {
        out.line(format!("{}.", self.head()));
        if self.judged.diff.is_empty() && self.judged.faults.is_empty() {
            out.line("The registry would not change.");
        } else if !self.judged.diff.events.is_empty() {
            out.line("");
            crate::cli::history::diff::print(out, &self.judged.diff.events);
        }
        out.line("");
        let faults = self.judged.faults.iter().map(|f| (RED, "fault:", &f.problem));
        for (style, what, problem) in faults.chain(self.judged.warnings.iter().map(|w| (YELLOW, "warning:", w))) {
            out.line(format!("{} {problem}", styled(style, what)));
            if !problem.help.is_empty() {
                out.line(format!("    {}", one_line(&problem.help)));
            }
        }
        for open in &self.open {
            out.foreign(&open.sentence());
        }
        let style = if self.judged.faults.is_empty() { GREEN } else { RED };
        out.line(styled(style, &self.verdict()));
    }

    fn view(&self) -> PullReport<'_> {
        let judged = self.judged;
        let rules = self.rules.iter().map(|(e, conditions)| view::StageConditions {
            model: e.model,
            version: e.version,
            to: e.to,
            conditions: conditions.iter().map(|c| view::Condition { asks: &c.asks, holds: c.holds }).collect(),
        });
        let open =
            self.open.iter().map(|o| view::Approvers { model: o.model, version: o.version, to: o.to, users: &o.users });
        PullReport {
            base: self.pull.base,
            head: self.pull.head,
            tip: self.pull.tip,
            commits: self.pull.commits.iter().map(|c| c.id).collect(),
            authors: &judged.authors,
            authors_proven: judged.proven,
            passes: judged.faults.is_empty(),
            may_merge: &judged.may_merge,
            more_people: judged.more,
            nearest: judged.nearest.as_ref(),
            may_approve: open.collect(),
            rules: rules.collect(),
            events: &judged.diff.events,
            faults: &judged.faults,
            warnings: &judged.warnings,
        }
    }

    fn markdown(&self) -> String {
        let mut out = Markdown::default();
        let passes = self.judged.faults.is_empty();
        out.heading(2, if passes { "Greenroom: this may be merged" } else { "Greenroom: this may not be merged" });
        out.paragraph(&format!("{}.", markdown::words(&self.head())));
        out.paragraph(&format!("**{}**", markdown::words(self.verdict().trim_end_matches('.'))));
        self.events(&mut out);
        if !passes {
            out.heading(3, "Faults");
            self.judged.faults.iter().for_each(|f| problem(&mut out, "❌", &f.problem));
        }
        if !self.judged.warnings.is_empty() {
            out.heading(3, "Warnings");
            self.judged.warnings.iter().for_each(|w| problem(&mut out, "⚠️", w));
        }
        self.rules(&mut out);
        if !self.open.is_empty() {
            out.heading(3, "Approvers");
            self.open.iter().for_each(|o| out.point(0, &markdown::words(o.sentence().trim_end_matches('.'))));
        }
        for compared in &self.compared {
            compared.tables(&mut out);
        }
        out.finish()
    }

    fn events(&self, out: &mut Markdown) {
        out.heading(3, "Changes");
        let events = &self.judged.diff.events;
        if events.is_empty() {
            out.paragraph("The registry would not change.");
        }
        for group in events.get(..events.len().min(5 * MANY)).unwrap_or(events).chunk_by(|a, b| a.model() == b.model())
        {
            let title = group.first().and_then(Event::model).map_or("registry", |m| m.as_str());
            out.point(0, &format!("**{}**", markdown::words(title)));
            for event in group {
                out.point(1, &markdown::words(&phrase::act(event)));
                phrase::details(event).iter().for_each(|d| out.point(2, &markdown::words(d)));
            }
        }
        if events.len() > 5 * MANY {
            out.point(0, &format!("and {} more", events.len() - 5 * MANY));
        }
    }

    fn rules(&self, out: &mut Markdown) {
        out.heading(3, "Rules");
        for (entry, conditions) in &self.rules {
            let what = format!("{} version {} into {}", entry.model, entry.version, entry.to);
            out.point(0, &markdown::words(&what));
            for c in conditions {
                let mark = match c.holds {
                    Some(true) => "✅",
                    Some(false) => "❌",
                    None => "❔",
                };
                out.point(1, &format!("{mark} {}", markdown::words(&c.asks)));
            }
        }
        let broken: std::collections::BTreeSet<&str> = self.judged.faults.iter().map(|f| f.problem.rule).collect();
        if broken.is_empty() {
            out.point(0, &format!("All {} rules of the registry hold if one of these people merges.", RULES.len()));
        }
        for rule in RULES.iter().filter(|r| broken.contains(r.name)) {
            out.point(0, &format!("❌ `{}`: {}", rule.name, markdown::words(rule.about.trim_end_matches('.'))));
        }
    }
}

impl Open<'_> {
    fn sentence(&self) -> String {
        let users: Vec<&str> = self.users.iter().take(MANY).map(UserName::as_str).collect();
        let who = if users.is_empty() { "No person".to_owned() } else { users.join(", ") };
        format!("{who} may approve {} for {} version {}.", self.to, self.model, self.version)
    }
}

impl Compared {
    fn tables(&self, out: &mut Markdown) {
        let title: Vec<String> = self.heads.iter().map(|h| markdown::words(h)).collect();
        out.heading(3, &format!("{}: {}", markdown::words(self.model.as_str()), title.join(" compared with ")));
        let head: Vec<String> = std::iter::once(String::new()).chain(self.heads.iter().cloned()).collect();
        for part in self.parts.iter().filter(|p| !p.rows.is_empty()) {
            out.paragraph(&format!("**{}**", part.title));
            let cells = |row: &Row| {
                let mark = if row.differs() { "→ " } else { "" };
                let shown = row.shown.iter().map(|v| v.clone().unwrap_or_else(|| "(none)".to_owned()));
                std::iter::once(format!("{mark}{}", row.key)).chain(shown).collect::<Vec<_>>()
            };
            out.table(&head, &part.rows.iter().map(cells).collect::<Vec<_>>());
        }
    }
}

fn problem(out: &mut Markdown, mark: &str, p: &crate::format::Problem) {
    let place = match (p.path.is_empty(), p.line) {
        (true, _) => String::new(),
        (false, 0) => format!("{}: ", markdown::code(&p.path)),
        (false, line) => format!("{}: ", markdown::code(&format!("{}:{line}", p.path))),
    };
    out.point(0, &format!("{mark} {place}{} (`{}`)", markdown::words(&p.message), p.rule));
    if !p.help.is_empty() {
        out.point(1, &format!("What to do: {}", markdown::words(&p.help)));
    }
}

/// The versions that would enter a stage, without versions that only leave it.
fn entries(events: &[Event]) -> impl Iterator<Item = MergedStage<'_>> {
    events.iter().filter_map(|e| match e {
        Event::Transitioned {
            model,
            version,
            from,
            to,
            cause: TransitionCause::Direct | TransitionCause::Request { .. },
        } => Some(MergedStage { model, version: *version, from, to }),
        _ => None,
    })
}

/// The conditions of a stage's rule, and whether each condition holds.
fn conditions(
    entry: &MergedStage<'_>,
    (rule, leaving): (&StageRule, u64),
    after: &Snapshot<'_>,
    faults: &[Fault],
    now: Timestamp,
) -> Result<Vec<Condition>, CliError> {
    let folder = after.full_path(&after.paths()?.model(entry.model));
    let broken = |name: &str| faults.iter().any(|f| f.problem.rule == name && f.problem.path.starts_with(&folder));
    let mut out = Vec::new();
    let mut ask = |asks: String, holds: Option<bool>| out.push(Condition { asks, holds });
    if let Some(from) = &rule.from {
        let list: Vec<&str> = from.iter().map(Stage::as_str).collect();
        ask(format!("from {}", list.join(", ")), Some(from.contains(entry.from)));
    }
    match rule.needed() {
        0 => {}
        1 => ask("one approval, which may be the merge by another person".to_owned(), Some(!broken("stage-approvals"))),
        n => ask(format!("{n} approvals in a request"), Some(!broken("stage-approvals"))),
    }
    match leaving {
        0 => {}
        1 => {
            let asks = format!("one approval to leave {}, which may be the merge by another person", entry.from);
            ask(asks, Some(!broken("stage-leaving")));
        }
        n => ask(format!("{n} approvals in a request to leave {}", entry.from), Some(!broken("stage-leaving"))),
    }
    if rule.exclusive {
        ask("the only version in the stage".to_owned(), Some(!broken("stage-exclusive")));
    }
    if !rule.frozen.is_empty() {
        ask("no freeze".to_owned(), Some(!rule.frozen.iter().any(|f| f.holds_at(now))));
    }
    let view = match after.model(entry.model)? {
        Some(model) => model.version(entry.version)?.map(|v| v.file()).transpose()?.flatten(),
        None => None,
    };
    let Some(version) = view.and_then(|f| f.value) else { return Ok(out) };
    let wants = &rule.require;
    let holds = |one: Evidence| Some(lacking(&version, &one, true).is_empty());
    let mut ask = |asks: String, holds: Option<bool>| out.push(Condition { asks, holds });
    if wants.description {
        ask("a description".to_owned(), holds(Evidence { description: true, ..Evidence::default() }));
    }
    if wants.artifacts {
        ask("its files in the registry".to_owned(), holds(Evidence { artifacts: true, ..Evidence::default() }));
    }
    if wants.signed {
        ask("a merge that the committer signed".to_owned(), None);
    }
    for (key, value) in &wants.tags {
        let one = Evidence { tags: [(key.clone(), value.clone())].into(), ..Evidence::default() };
        let value = if value.as_str() == "*" { String::new() } else { format!(" = {value}") };
        ask(format!("the tag {key}{value}"), holds(one));
    }
    for (key, threshold) in &wants.metrics {
        let one = Evidence { metrics: [(key.clone(), *threshold)].into(), ..Evidence::default() };
        let is = version.metrics.get(key).map_or_else(|| "missing".to_owned(), |m| format!("it is {m}"));
        ask(format!("the metric {key} {threshold} ({is})"), holds(one));
    }
    Ok(out)
}

/// The version that enters an active stage, beside the version that is in the stage now.
fn beside(
    entry: &MergedStage<'_>,
    before: &Snapshot<'_>,
    after: &Snapshot<'_>,
    so_far: usize,
) -> Result<Option<Compared>, CliError> {
    let Some(model) = after.model(entry.model)?.filter(|_| entry.to.is_active() && so_far < MANY) else {
        return Ok(None);
    };
    let Ok(entering) = ComparedVersion::read(entry.model, &model, entry.version) else { return Ok(None) };
    let mut heads = vec![format!("version {}", entry.version)];
    let mut sides = vec![entering];
    if let Some(old) = before.model(entry.model)? {
        let there =
            old.stage_map()?.into_iter().filter(|(n, s)| s == entry.to && *n != entry.version).map(|(n, _)| n).max();
        if let Some(number) = there
            && let Ok(side) = ComparedVersion::read(entry.model, &old, number)
        {
            heads.push(format!("version {number} in {}", entry.to));
            sides.push(side);
        }
    }
    Ok(Some(Compared { model: entry.model.clone(), heads, parts: compare::parts(&sides) }))
}

/// The requests that the merge would open or review without closing them, with the people who may decide them.
fn open<'e>(events: &'e [Event], before: &Snapshot<'_>) -> Result<Vec<Open<'e>>, CliError> {
    let own = before.settings()?.is_some_and(|s| s.identity.self_approval);
    let mut out = Vec::new();
    for event in events {
        let (Event::RequestCreated { model, version, request }
        | Event::RequestReviewed { model, version, request, .. }) = event
        else {
            continue;
        };
        let from = match before.model(model)? {
            Some(view) => view.stage_of(*version)?,
            None => Stage::None,
        };
        let mut users = Vec::new();
        for user in before.people()?.keys().filter(|u| own || **u != request.created_by) {
            if before.may_approve(user, model, &from, &request.to)? {
                users.push(user.clone());
            }
        }
        out.push(Open { model, version: *version, to: &request.to, users });
    }
    Ok(out)
}

/// The report on files that are not committed, as Markdown.
pub(in crate::cli) fn of_files(faults: &[Fault], warnings: &[crate::format::Problem], told: &str) -> String {
    let mut out = Markdown::default();
    out.heading(2, if faults.is_empty() { "Greenroom: no faults" } else { "Greenroom: there are faults" });
    out.paragraph(&markdown::words(told));
    faults.iter().for_each(|f| problem(&mut out, "❌", &f.problem));
    warnings.iter().for_each(|w| problem(&mut out, "⚠️", w));
    out.finish()
}
