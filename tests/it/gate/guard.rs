//! Files that tell git how to treat a registry in a folder of a larger repository.

use super::world::{ALICE, CAROL, World};
use super::{lands, refused};

#[test]
fn what_steers_git_above_the_registry_is_for_who_manages_it() {
    let world = World::within("ml/");
    for path in [".lfsconfig", ".gitattributes", ".gitmodules", ".LFSCONFIG"] {
        world.edit(ALICE, path, "[lfs]\n\turl = http://127.0.0.1/evil\n");
        refused(&world.push(ALICE), &["git-settings"]);
        world.git(ALICE, &["reset", "-q", "--hard", "HEAD^"]);
        world.edit(CAROL, path, "# as agreed\n");
        lands(&world.push(CAROL));
        world.landed();
        world.git(ALICE, &["rm", "-q", path]);
        world.git(ALICE, &["commit", "-qm", "take it away"]);
        refused(&world.push(ALICE), &["git-settings"]);
        world.git(ALICE, &["reset", "-q", "--hard", "HEAD^"]);
    }
}

#[test]
fn other_files_beside_the_registry_are_free() {
    let world = World::within("ml/");
    for path in ["README.md", ".gitignore", "src/.gitattributes", "src/.lfsconfig", ".github/workflows/x.yml"] {
        world.edit(ALICE, path, "# mine\n");
    }
    lands(&world.push(ALICE));
}

#[test]
fn a_merge_that_changes_such_a_file_is_the_mergers_act() {
    let world = World::within("ml/");
    world.git(CAROL, &["switch", "-qc", "work"]);
    world.edit(CAROL, ".lfsconfig", "# as agreed\n");
    world.git(ALICE, &["switch", "-q", "main"]);
    world.git(ALICE, &["merge", "-q", "--no-ff", "-m", "merge it", "work"]);
    let judged = world.push(ALICE);
    refused(&judged, &["git-settings"]);
    assert!(judged.render().contains("the registry in ml"), "{}", judged.render());
}
