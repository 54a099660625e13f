//! A model that a real MLflow logged is registered and fetched unchanged.

use crate::support::{Sandbox, tools};

#[test]
fn a_model_is_trained_registered_approved_fetched_and_predicts_the_same() {
    let sandbox = Sandbox::new();
    let python = tools::python();
    let trained = sandbox.alice().run(&python, [tools::python_script("train.py"), "out".into()]).success().json();
    let model = &trained[1];
    let text = |key: &str| model[key].as_str().expect("train.py says it").to_owned();

    sandbox.greenroom(["init", "registry"]).success();
    let (alice, bob) = (sandbox.alice().within("registry"), sandbox.bob().within("registry"));
    alice.greenroom(["person", "add", "bob", "--name", "Bob", "--email", "bob@example.org"]).success();
    alice.greenroom(["access", "grant", "bob", "CAN_MANAGE_PRODUCTION_VERSIONS"]).success();
    alice.greenroom(["stage", "set", "Production", "--approvals", "1", "--require-metric", "auc>=0.9"]).success();
    let mut register = vec!["register".to_owned(), "wine".to_owned(), text("path")];
    for (key, value) in model["params"].as_object().expect("train.py says them") {
        register.extend(["--param".to_owned(), format!("{key}={}", value.as_str().expect("a text"))]);
    }
    for (key, value) in model["metrics"].as_object().expect("train.py says them") {
        register.extend(["--metric".to_owned(), format!("{key}={value}")]);
    }
    alice.greenroom(register).success();

    let shown = alice.greenroom(["version", "show", "wine/1", "-o", "json"]).success().json();
    assert_eq!(shown["source"]["run_id"], model["run_id"]);
    assert_eq!(shown["source"]["model_id"], model["model_id"]);
    assert_eq!(shown["model_info"]["flavors"].as_object().map(|f| f.contains_key("sklearn")), Some(true));
    assert_eq!(shown["schema"]["inputs"].as_array().map(Vec::len), Some(5));
    assert_eq!(shown["findings"], serde_json::json!([]));

    alice.greenroom(["request", "create", "wine", "1", "Production", "-m", "please"]).success();
    alice.greenroom(["request", "approve", "wine", "1"]).success();
    alice.greenroom(["fetch", "models:/wine/Production", "../early"]).code(3);
    bob.greenroom(["request", "approve", "wine", "1", "-m", "checked"]).success();

    sandbox.greenroom(["-C", "registry", "fetch", "models:/wine/Production", "served"]).success();
    let predicted = sandbox.alice().run(&python, [tools::python_script("predict.py"), sandbox.path("served")]);
    assert_eq!(predicted.success().json(), model["predictions"]);
}
