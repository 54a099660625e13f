//! Creating a registry, changing its settings and its layout.

use super::{ChangeDraft, Context, EntityKind, Refusal};
use crate::entity::settings::Layout;
use crate::entity::{Access, PermissionLevel, Person, Settings};
use crate::format::path::{self, Paths};
use crate::format::{FileKind, attributes, schema};
use crate::name::Principal;
use crate::tree::EntryKind;

/// The Git LFS settings of each clone: a model file that is missing on the remote is reported and stays a pointer, and
/// the clone succeeds.
const LFS_CONFIG: &str = "[lfs]\n\tskipdownloaderrors = true\n";

/// Returns the files for git and editors that a registry has beside its own files, as path and content.
pub fn companions() -> Vec<(String, String)> {
    let mut out =
        vec![(".gitattributes".to_owned(), attributes::registry()), (".taplo.toml".to_owned(), schema::taplo())];
    for kind in FileKind::ALL {
        out.push((format!(".greenroom/schema/{}.schema.json", kind.as_str()), schema::schema(kind)));
    }
    out
}

pub(super) fn create(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    settings: &Settings,
    maker: &Person,
) -> Result<(), Refusal> {
    if d.snapshot.settings_file()?.is_some() {
        let place = if d.snapshot.at().is_empty() { "here" } else { d.snapshot.at() };
        return Err(Refusal::exists(EntityKind::Registry, format!("there is already a registry {place}")));
    }
    d.put("greenroom.toml", settings);
    let mut access = Access::default();
    access.grant(Principal::User(cx.actor.clone()), PermissionLevel::CanManage);
    d.put("access.toml", &access);
    d.put(&path::person(&cx.actor), maker);
    for (path, content) in companions() {
        d.patch.write(d.snapshot.full_path(&path), content);
    }
    // Git LFS reads the file at the root of the repository only. An existing file may name a server, and stays.
    if d.snapshot.at().is_empty() && d.snapshot.entry(".lfsconfig")?.is_none() {
        d.patch.write(".lfsconfig".to_owned(), LFS_CONFIG.to_owned());
    }
    Ok(())
}

pub(super) fn change(d: &mut ChangeDraft<'_, '_>, settings: &Settings, seen: Option<&Settings>) -> Result<(), Refusal> {
    let file = d.snapshot.settings_file()?.ok_or_else(no_registry)?;
    super::current(seen, file.value.as_ref(), "greenroom.toml")?;
    if settings.layout != d.snapshot.layout()? {
        return Err(Refusal::invalid("use `greenroom reshard` to change the layout; it also moves the files"));
    }
    d.edit(file, |s| *s = settings.clone())
}

fn no_registry() -> Refusal {
    Refusal::not_found(EntityKind::Registry, "", "there is no registry here; make one with `greenroom init`")
}

/// Moves each model and version to its path in the layout. Folders are moved by object id, so only trees are read.
pub(super) fn reshard(d: &mut ChangeDraft<'_, '_>, layout: Layout) -> Result<(), Refusal> {
    let file = d.snapshot.settings_file()?.ok_or_else(no_registry)?;
    if d.snapshot.layout()? == layout {
        return Ok(());
    }
    d.edit(file, |s| s.layout = layout)?;
    let paths = Paths(layout);
    for view in d.snapshot.models()? {
        let name = match view.dir.name() {
            Some(name) => name,
            None => match view.file()? {
                Some(file) => super::usable(&file)?.name,
                None => continue,
            },
        };
        let folder = d.snapshot.full_path(&paths.model(&name));
        d.patch.remove(view.path.clone());
        let tree = d.snapshot.objects().tree(&view.tree)?;
        for entry in tree.iter().filter(|e| e.name != "versions") {
            d.patch.link(format!("{folder}/{}", entry.name), entry.kind, entry.id);
        }
        for version in view.versions()? {
            let place = format!("{folder}/{}", paths.version_in_model(version.number));
            d.patch.link(place, EntryKind::Tree, version.tree);
        }
    }
    Ok(())
}
