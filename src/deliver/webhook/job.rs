//! Starts a job instead of calling a URL: Databricks' `jobs/run-now`.

use serde_json::{Map, Value, json};

use crate::entity::webhook::{JobParams, WebhookJob};
use crate::payload::truncate;

/// The largest parameters of a job, in bytes of JSON.
const MAX_PARAMS: usize = 10_000;

/// The longest idempotency token, in characters.
const MAX_TOKEN: usize = 64;

/// Returns the URL that starts a job.
pub fn url(job: &WebhookJob) -> String {
    format!("{}/api/2.1/jobs/run-now", job.workspace_url.as_str().trim_end_matches('/'))
}

/// Returns the body that starts a job: the event's body as a parameter. `id` becomes the idempotency token, which keeps
/// a repeated attempt from starting a second run.
pub fn body(job: &WebhookJob, id: &str, event: &[u8]) -> Vec<u8> {
    let mut out = Map::new();
    let number = job.id.as_str().parse::<u64>().map(Value::from);
    out.insert("job_id".to_owned(), number.unwrap_or_else(|_| json!(job.id)));
    let message = message(event);
    let (named, listed) = (json!({"event_message": message}), json!([message]));
    let params: &[(&str, &Value)] = match job.params {
        JobParams::Notebook => &[("notebook_params", &named)],
        JobParams::Python => &[("python_params", &listed)],
        JobParams::All => &[
            ("notebook_params", &named),
            ("python_named_params", &named),
            ("jar_params", &listed),
            ("python_params", &listed),
            ("spark_submit_params", &listed),
        ],
        JobParams::None => &[],
    };
    out.extend(params.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())));
    let token: String = id.chars().take(MAX_TOKEN).collect();
    out.insert("idempotency_token".to_owned(), json!(token));
    serde_json::to_vec(&out).unwrap_or_default()
}

/// Returns the event as a text that fits into the parameters of a job.
fn message(event: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fits = |message: &str| json!({"event_message": message}).to_string().len() <= MAX_PARAMS;
    let whole = text(event);
    if fits(&whole) {
        return whole;
    }
    let value: Value = serde_json::from_slice(event).unwrap_or_default();
    let mut shorter = whole;
    for max in [9_000, 6_000, 4_000] {
        shorter = text(&truncate::within(value.clone(), max));
        if fits(&shorter) {
            break;
        }
    }
    shorter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;

    fn job(params: JobParams) -> WebhookJob {
        let text = |s| Text::new(s).unwrap();
        WebhookJob { id: text("123"), workspace_url: text("https://jobs.example.org/"), params }
    }

    fn started(params: JobParams, event: &str) -> Value {
        serde_json::from_slice(&body(&job(params), "d1", event.as_bytes())).unwrap()
    }

    #[test]
    fn each_kind_of_task_gets_the_event_as_databricks_gives_it() {
        let event = r#"{"event":"MODEL_VERSION_CREATED"}"#;
        assert_eq!(url(&job(JobParams::Notebook)), "https://jobs.example.org/api/2.1/jobs/run-now");
        assert_eq!(
            started(JobParams::Notebook, event),
            json!({"job_id": 123, "notebook_params": {"event_message": event}, "idempotency_token": "d1"})
        );
        assert_eq!(
            started(JobParams::Python, event),
            json!({"job_id": 123, "python_params": [event], "idempotency_token": "d1"})
        );
        assert_eq!(started(JobParams::None, event), json!({"job_id": 123, "idempotency_token": "d1"}));
        assert_eq!(
            started(JobParams::All, event),
            json!({
                "job_id": 123,
                "notebook_params": {"event_message": event},
                "python_named_params": {"event_message": event},
                "jar_params": [event],
                "python_params": [event],
                "spark_submit_params": [event],
                "idempotency_token": "d1",
            })
        );
    }

    #[test]
    fn a_large_event_is_cut_to_what_a_job_takes() {
        let event = json!({"event": "COMMENT_CREATED", "comment": "\"\n".repeat(9_000)}).to_string();
        let params = started(JobParams::Notebook, &event)["notebook_params"].to_string();
        assert!(params.len() <= MAX_PARAMS, "{}", params.len());
        assert!(params.contains("bytes cut"), "{params}");
    }
}
