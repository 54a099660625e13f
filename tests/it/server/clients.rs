//! MLflow's own client works against the server: the newest, and the last of the major version before.

use std::path::PathBuf;

use super::World;
use crate::support::tools;

/// Runs the script of the client with a Python; it must succeed, leave a valid registry, and cause no server error.
fn drive(python: PathBuf) {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let url = format!("http://{}", server.address());
    let script = tools::python_script("registry.py");
    let out = world.sandbox.alice().run(python, [script.into_os_string(), url.into()]).success();
    assert!(out.stdout().ends_with("ok\n"), "{}\n{}", out.stdout(), out.stderr());
    world.is_sound();
    world.alice().greenroom(["check"]).success();
    let failed: Vec<_> =
        server.log().lines().filter(|l| l.contains("\"level\":\"error\"")).map(str::to_owned).collect();
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn every_registry_method_of_mlflows_client_works() {
    drive(tools::python());
}

#[test]
fn mlflow_2_works_too() {
    drive(tools::python_of_mlflow_2());
}
