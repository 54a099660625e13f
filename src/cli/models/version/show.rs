//! `greenroom version show`: all details of a version, on one page.

use super::aliases_by_version;
use crate::artifact;
use crate::cli::terminal::committers::{History, landed_by};
use crate::cli::terminal::output::{BOLD, Output, local, styled};
use crate::cli::terminal::progress::size;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::entity::version::{Column, Environment, Metric, ModelInfo, Schema};
use crate::entity::{Comment, Request, RequestState, ReviewVerdict, Version};
use crate::index::Committers;
use crate::name::{AliasName, ModelName};
use crate::stage::Stage;
use crate::text::{Text, one_line};
use crate::view::{self, ModelVersion, TransitionRequest, VersionPage};

/// Shows a version as of the moment of the reference, or of `at`.
pub(in crate::cli) fn run(target: &VersionArgument, at: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    let wanted = target.reference_at(at)?;
    let registry = session.registry()?;
    session.note_edits(&registry, wanted.moment.as_deref());
    let snapshot = registry.as_of(wanted.moment.as_deref())?;
    let (model, view) = version_argument::find(&snapshot, &wanted)?;
    let file = view.file()?;
    let problems = file.as_ref().map(|f| f.problems.clone()).unwrap_or_default();
    let Some(version) = file.and_then(|f| f.value) else {
        let message = format!("the record of {} version {} cannot be read", wanted.model, view.number);
        let fault = problems.first().map(|p| p.to_string()).unwrap_or_default();
        return Err(CliError { causes: vec![fault], ..CliError::new(Exit::Failed, message) }.hint("greenroom check"));
    };
    let page = VersionDetails {
        model: &wanted.model,
        number: view.number,
        stage: model.stage_of(view.number)?,
        aliases: aliases_by_version(&model)?.remove(&view.number).unwrap_or_default(),
        requests: view.requests()?.into_values().filter_map(|f| f.value).collect(),
        comments: view.comments()?.into_values().filter_map(|f| f.value).collect(),
        version,
        landers: History::open(session, &registry, wanted.moment.as_deref()).landers(&wanted.model, view.number),
    };
    if session.out.is_json() {
        session.out.json(&page.view())?;
    } else {
        page.print(&mut session.out);
    }
    problems.iter().for_each(|p| crate::cli::terminal::report::warn(&p.to_string()));
    Ok(Exit::Ok)
}

/// The details of a version, ready to print.
struct VersionDetails<'m> {
    model: &'m ModelName,
    number: u64,
    stage: Stage,
    aliases: Vec<AliasName>,
    requests: Vec<Request>,
    comments: Vec<Comment>,
    version: Version,
    landers: Committers,
}

impl VersionDetails<'_> {
    fn view(&self) -> VersionPage {
        let (model, number, landers) = (self.model, self.number, &self.landers);
        let mut version = ModelVersion::new(model, number, &self.version, &self.stage, &self.aliases);
        version.landed_by = landers.of(&self.version.id).map(str::to_owned);
        let request = |r| TransitionRequest::new(model, number, &self.stage, r, landers);
        let comment = |c: &Comment| view::Comment::new(model, number, c, landers.of(&c.id));
        VersionPage {
            version,
            requests: self.requests.iter().map(request).collect(),
            comments: self.comments.iter().map(comment).collect(),
        }
    }

    fn print(&self, out: &mut Output) {
        self.head(out);
        let v = &self.version;
        if !v.description.is_empty() {
            out.line("");
            out.block(v.description.as_str(), "    ");
        }
        pairs(out, "Parameters", v.params.iter().map(|(k, p)| (k.as_str(), p.to_string())));
        pairs(out, "Metrics", v.metrics.iter().map(|(k, m)| (k.as_str(), metric(m))));
        if let Some(schema) = &v.schema {
            print_schema(out, schema);
        }
        if let Some(environment) = &v.environment {
            print_environment(out, environment);
        }
        let findings = artifact::findings(v.model.as_ref(), v.environment.as_ref());
        section(out, "Findings", findings.is_empty());
        for finding in &findings {
            out.foreign(&format!("  {}: {}", finding.level, finding.message));
        }
        let open: Vec<&Request> = self.requests.iter().filter(|r| r.state == RequestState::Pending).collect();
        section(out, "Open requests", open.is_empty());
        open.iter().for_each(|r| print_request(out, r, &self.landers));
        section(out, "Comments", self.comments.is_empty());
        for comment in &self.comments {
            let edited = comment.edited_at.map_or(String::new(), |t| format!(", edited {}", local(t)));
            let landed = landed_by(self.landers.of(&comment.id));
            out.foreign(&format!("  {}, {}{edited}{landed}", comment.created_by, local(comment.created_at)));
            out.block(comment.text.as_str(), "      ");
        }
    }

    fn head(&self, out: &mut Output) {
        let v = &self.version;
        let mut line = |label: &str, value: &str| {
            if !value.is_empty() {
                out.foreign(&format!("{:<13}{value}", format!("{label}:")));
            }
        };
        line("Version", &format!("{} of {}", self.number, self.model));
        line("Stage", self.stage.as_str());
        let why = if v.status_message.is_empty() { String::new() } else { format!(" ({})", v.status_message) };
        line("Status", &format!("{}{why}", v.status.as_str()));
        let landed = landed_by(self.landers.of(&v.id));
        line("Created", &format!("{} by {}{landed}", local(v.created_at), v.created_by));
        let aliases: Vec<String> = self.aliases.iter().map(|a| format!("@{a}")).collect();
        line("Aliases", &aliases.join(" "));
        for (key, value) in &v.tags {
            line("Tag", &format!("{key} = {value}"));
        }
        line("Source", v.source.uri.as_str());
        line("Location", v.source.location.as_str());
        line("Run", v.source.run_id.as_str());
        line("Run link", v.source.run_link.as_str());
        line("Model id", v.source.model_id.as_str());
        match &v.artifacts {
            Some(a) => {
                let files = if a.files == 1 { "1 file".to_owned() } else { format!("{} files", a.files) };
                line("Files", &format!("{files}, {}, digest {}", size(a.size), a.digest));
            }
            None => line("Files", "none; the registry holds a reference only"),
        }
        if let Some(info) = &v.model {
            line("Flavors", &flavors(info));
            line("Made with", &made_with(info));
            let list = |all: &[Text]| all.iter().map(Text::as_str).collect::<Vec<_>>().join(", ");
            line("Env vars", &list(&info.env_vars));
            line("Resources", &list(&info.resources));
            line("Auth policy", &list(&info.auth_policy));
            line("Prompts", &list(&info.prompts));
            for (key, value) in &info.metadata {
                line("Metadata", &format!("{key} = {value}"));
            }
        }
    }
}

fn flavors(info: &ModelInfo) -> String {
    let one = |(name, version): (&crate::name::Key, &Text)| format!("{name} {version}").trim_end().to_owned();
    info.flavors.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn made_with(info: &ModelInfo) -> String {
    let named = |what: &str, version: &Text| (!version.is_empty()).then(|| format!("{what} {version}"));
    let parts = [named("MLflow", &info.mlflow_version), named("Python", &info.python_version)];
    let on = info.created_at.map(|t| format!("on {}", local(t)));
    parts.into_iter().flatten().chain(on).collect::<Vec<_>>().join(", ")
}

/// A metric as text: the number, and where it was measured.
pub(in crate::cli) fn metric(m: &Metric) -> String {
    match m {
        Metric::Value(value) => value.to_string(),
        Metric::At { value, step, timestamp } => {
            let step = step.map(|s| format!("step {s}"));
            let at = timestamp.map(local);
            let rest: Vec<String> = step.into_iter().chain(at).collect();
            if rest.is_empty() { value.to_string() } else { format!("{value} ({})", rest.join(", ")) }
        }
    }
}

fn section(out: &mut Output, title: &str, empty: bool) {
    if !empty {
        out.line("");
        out.line(styled(BOLD, title));
    }
}

fn pairs<'k>(out: &mut Output, title: &str, all: impl Iterator<Item = (&'k str, String)>) {
    let all: Vec<(&str, String)> = all.collect();
    let width = all.iter().map(|(k, _)| one_line(k).chars().count()).max().unwrap_or(0);
    section(out, title, all.is_empty());
    for (key, value) in all {
        out.foreign(&format!("  {key:<width$}  {value}"));
    }
}

/// A column as it is declared: `alcohol: double`, `threshold: double = 0.5`, `hue?: double`.
pub(in crate::cli) fn column_type(c: &Column) -> String {
    let default = if c.default.is_empty() { String::new() } else { format!(" = {}", c.default) };
    let optional = if c.optional { " (optional)" } else { "" };
    format!("{}{default}{optional}", c.kind)
}

fn print_schema(out: &mut Output, schema: &Schema) {
    let parts = [("inputs", &schema.inputs), ("outputs", &schema.outputs), ("params", &schema.params)];
    section(out, "Schema", parts.iter().all(|(_, columns)| columns.is_empty()));
    for (title, columns) in parts.into_iter().filter(|(_, c)| !c.is_empty()) {
        out.line(format!("  {title}"));
        let name = |c: &Column| if c.name.is_empty() { "-".to_owned() } else { one_line(c.name.as_str()).into_owned() };
        let width = columns.iter().map(|c| name(c).chars().count()).max().unwrap_or(0);
        for column in columns {
            out.foreign(&format!("    {:<width$}  {}", name(column), column_type(column)));
        }
    }
}

fn print_environment(out: &mut Output, environment: &Environment) {
    section(out, "Environment", false);
    let list = |texts: &[Text]| texts.iter().map(Text::as_str).collect::<Vec<_>>().join(", ");
    let channels = if environment.channels.is_empty() { "none".to_owned() } else { list(&environment.channels) };
    if !environment.conda_file.is_empty() {
        out.foreign(&format!("  {}: channels {channels}", environment.conda_file));
    }
    for (title, all) in [("conda", &environment.conda), ("pip", &environment.pip)] {
        if !all.is_empty() {
            out.foreign(&format!("  {title}: {}", list(all)));
        }
    }
}

fn print_request(out: &mut Output, r: &Request, landers: &Committers) {
    let yes = r.review.iter().filter(|x| x.verdict == ReviewVerdict::Approved).count();
    let reviews = match yes {
        0 => String::new(),
        1 => "; 1 approval".to_owned(),
        n => format!("; {n} approvals"),
    };
    let archive = if r.archive_existing { ", archives the versions in the stage" } else { "" };
    let landed = landed_by(landers.of(&r.id));
    out.foreign(&format!("  {} by {}, {}{landed}{archive}{reviews}", r.to, r.created_by, local(r.created_at)));
    if !r.comment.is_empty() {
        out.block(r.comment.as_str(), "      ");
    }
}
