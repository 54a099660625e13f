//! Model files that the store beside a served repository had and lost.

use super::world::{CAROL, World};
use super::{OF_ABC, lands, pointer, refused, said_of, version_by_hand};

#[test]
fn model_files_that_the_store_lost_keep_a_version_out_of_where_they_are_asked_for() {
    let world = World::new();
    world.act(CAROL, &["stage", "set", "Staging", "--require-artifacts"]);
    world.act(CAROL, &["alias", "guard", "champion", "--require-artifacts"]);
    version_by_hand(&world, &pointer(OF_ABC, 3), &said_of(OF_ABC, 3));
    world.limit("missing", "refuse");
    world.store(OF_ABC, b"abc");
    lands(&world.push(CAROL));
    world.landed();
    let before = world.tip();
    let promotions: [&[&str]; 2] =
        [&["transition", "churn", "2", "Staging"], &["alias", "set", "churn", "champion", "2"]];
    for promotion in promotions {
        world.act(CAROL, promotion);
        lands(&world.push(CAROL));
        // Another size is noticed; the bytes were compared when they came, and are not read again.
        world.store(OF_ABC, b"abd");
        lands(&world.push(CAROL));
        world.store(OF_ABC, b"ab");
        let judged = world.push(CAROL);
        refused(&judged, &["arrived"]);
        assert!(judged.render().contains("the object has another size"), "{}", judged.render());
        world.lose(OF_ABC);
        let judged = world.push(CAROL);
        refused(&judged, &["arrived"]);
        assert!(
            judged.render().contains("1 model file that the rule requires is not in the store"),
            "{}",
            judged.render()
        );
        world.store(OF_ABC, b"abc");
        world.git(CAROL, &["reset", "-q", "--hard", &before]);
    }
    // A stage that asks for no files takes it without a look.
    world.lose(OF_ABC);
    world.act(CAROL, &["transition", "churn", "2", "Archived"]);
    lands(&world.push(CAROL));
    world.git(CAROL, &["reset", "-q", "--hard", &before]);
    world.limit("missing", "warn");
    world.act(CAROL, promotions[0]);
    let judged = world.push(CAROL);
    lands(&judged);
    assert_eq!(judged.warnings().map(|w| w.problem.rule).collect::<Vec<_>>(), ["arrived"]);
}
