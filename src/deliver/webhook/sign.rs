//! The headers that prove to a receiver who sent a body, in three schemes at once, all computed over the bytes that are
//! sent.
//!
//! - Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`. The key is the decoded base64 after
//!   `whsec_`; of a secret without this prefix, the key is its bytes.
//! - MLflow: `X-MLflow-Delivery-Id`, `X-MLflow-Timestamp`, `X-MLflow-Signature`. The key is the secret's text.
//! - Databricks: `X-Databricks-Signature`. The key is the secret's text.
//!
//! The id is the same on each attempt. The timestamp is the time of the attempt, so that a receiver can refuse old
//! requests. While a secret is replaced, there are two secrets. Standard Webhooks carries a signature by each of them.
//! The other two headers have room for one signature: by the current secret.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD as BASE64};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secrets::Secret;

/// Base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secrets that sign.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    /// The current secret.
    pub current: Secret,
    /// The next secret, while the current one is replaced.
    pub next: Option<Secret>,
}

/// Returns the headers for a body. `seconds` is the time of the attempt, in seconds since the epoch.
pub fn headers(id: &str, seconds: i64, body: &[u8], keys: Option<&SigningKeys>) -> Vec<(&'static str, String)> {
    let time = seconds.to_string();
    let mut out = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", time.clone()),
        ("x-mlflow-delivery-id", id.to_owned()),
        ("x-mlflow-timestamp", time.clone()),
    ];
    let Some(keys) = keys else { return out };
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    let secret = keys.current.reveal();
    let all = [Some(&keys.current), keys.next.as_ref()];
    let each = all.into_iter().flatten().map(|s| format!("v1,{}", BASE64.encode(mac(&decoded(s.reveal()), &signed))));
    out.push(("webhook-signature", each.collect::<Vec<_>>().join(" ")));
    out.push(("x-mlflow-signature", format!("v1,{}", BASE64.encode(mac(secret.as_bytes(), &signed)))));
    let hex = mac(secret.as_bytes(), body).iter().map(|b| format!("{b:02x}")).collect();
    out.push(("x-databricks-signature", hex));
    out
}

/// Returns the key that Standard Webhooks derives from a secret.
fn decoded(secret: &str) -> Vec<u8> {
    let bytes = secret.strip_prefix("whsec_").and_then(|text| LENIENT.decode(text).ok());
    bytes.filter(|b| !b.is_empty()).unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC accepts a key of any length and hashes a key that is too long.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str, id: &str, seconds: i64, body: &str) -> impl Fn(&str) -> String {
        let keys = SigningKeys { current: Secret::new(secret).unwrap(), next: None };
        let headers = headers(id, seconds, body.as_bytes(), Some(&keys));
        move |name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()).unwrap_or_default()
    }

    #[test]
    fn databricks_signature_is_that_of_its_vectors() {
        let body = "{\"event\":\"MODEL_VERSION_TRANSITIONED_STAGE\",\"webhook_id\":\"c5596721253c4b429368cf6f4341b88a\",\
            \"event_timestamp\":1589859029343,\"model_name\":\"Airline_Delay_SparkML\",\"version\":\"8\",\"to_stage\":\
            \"Production\",\"from_stage\":\"None\",\"text\":\"Registered model 'Airline_Delay_SparkML' version 8 \
            transitioned from None to Production.\"}";
        assert_eq!(body.len(), 317);
        let signed = of("secret_string", "x", 0, body);
        let wanted = "d045222cbd8e5ad396c590d9d624cdf5b4fe01f2b1c927f8744612699568bf5c";
        assert_eq!(signed("x-databricks-signature"), wanted);
        let signed = of("clé £", "x", 0, "{\"event\":\"COMMENT_CREATED\",\"comment\":\"naïve ✓\"}");
        let wanted = "e82cb06998f359b261422cef40f0c6f0feac3747647c8d317bd2906241a6132d";
        assert_eq!(signed("x-databricks-signature"), wanted);
    }

    #[test]
    fn the_standard_signature_is_that_of_its_vector_with_the_secret_as_text_or_in_base_64() {
        let wanted = "v1,ti0tUHXhzxrTCMSaoWcIwuoo4rHTk1GsQnxdhwvMqSQ=";
        let key = "0123456789abcdef01234567";
        let encoded = BASE64.encode(key);
        for secret in [key.to_owned(), format!("whsec_{encoded}"), format!("whsec_{}", encoded.trim_end_matches('='))] {
            assert_eq!(
                of(&secret, "evt_1", 1_795_364_836, "{\"type\":\"x\"}")("webhook-signature"),
                wanted,
                "{secret}"
            );
        }
        let strange = of("whsec_not base 64!", "evt_1", 1, "x")("webhook-signature");
        assert!(strange.starts_with("v1,") && strange.len() > 40, "{strange}");
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let (old, new) = (Secret::new("old").unwrap(), Secret::new("new").unwrap());
        let alone =
            |current: &Secret| headers("i", 1, b"body", Some(&SigningKeys { current: current.clone(), next: None }));
        let both = headers("i", 1, b"body", Some(&SigningKeys { current: old.clone(), next: Some(new.clone()) }));
        let get = |headers: &[(&str, String)], name: &str| {
            headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()).unwrap()
        };
        let (by_old, by_new) = (alone(&old), alone(&new));
        let standard = "webhook-signature";
        assert_eq!(get(&both, standard), format!("{} {}", get(&by_old, standard), get(&by_new, standard)));
        for one in ["x-mlflow-signature", "x-databricks-signature"] {
            assert_eq!(get(&both, one), get(&by_old, one));
        }
    }

    #[test]
    fn without_a_secret_there_are_ids_and_times_and_no_signature() {
        let names: Vec<_> = headers("i", 1, b"body", None).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["webhook-id", "webhook-timestamp", "x-mlflow-delivery-id", "x-mlflow-timestamp"]);
    }
}
