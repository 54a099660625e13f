//! The real clients create, list, change, test and delete webhooks, and the real verifiers accept the deliveries.

use super::super::World;
use crate::support::tools;

#[test]
fn the_real_clients_and_verifiers_work_on_what_is_really_sent() {
    let world = World::new(&[]);
    world.alice().git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    let server = world.serve(&[]);
    let url = format!("http://{}", server.address());
    let script = tools::python_script("webhooks.py");
    let args = [script.into_os_string(), url.into(), world.token("alice").into()];
    let out = world.sandbox.alice().run(tools::python(), args).success();
    assert!(out.stdout().ends_with("ok\n"), "{}\n{}", out.stdout(), out.stderr());
    world.is_sound();
    world.alice().greenroom(["check"]).success();
}

#[test]
fn the_example_receiver_accepts_what_is_signed_and_nothing_else() {
    let world = World::new(&[]);
    world.alice().git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    let script = tools::python_script("receiver_example.py");
    let example = tools::examples().with_file_name("webhook-receiver").join("receiver.py");
    let shell = world.alice();
    let out = shell.run(tools::python(), [script.as_os_str(), example.as_os_str()]).success();
    assert!(out.stdout().ends_with("ok\n"), "{}\n{}", out.stdout(), out.stderr());
}
