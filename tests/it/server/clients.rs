//! MLflow's own client works against the server.

use super::World;
use crate::support::tools;

#[test]
fn every_registry_method_of_mlflows_client_works() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let url = format!("http://{}", server.address());
    let script = tools::python_script("registry.py");
    let out = world.sandbox.alice().run(tools::python(), [script.into_os_string(), url.into()]).success();
    assert!(out.stdout().ends_with("ok\n"), "{}\n{}", out.stdout(), out.stderr());
    world.is_sound();
    world.alice().greenroom(["check"]).success();
    let failed: Vec<_> =
        server.log().lines().filter(|l| l.contains("\"level\":\"error\"")).map(str::to_owned).collect();
    assert_eq!(failed, Vec::<String>::new());
}
