//! Lists of files.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::download::files_of;
use super::{folder, upload_id, version_by_id};
use crate::artifact::{FileEntry, FilePath};
use crate::server::api::parameters::named;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reader_pool::blocking;
use crate::server::context::reply::{HandlerResult, Reply};

/// The number of entries on a page, where lists have pages.
const PAGE: usize = 1000;

/// An entry of a folder, as clients read it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct FileInfo<'f> {
    path: &'f str,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

/// The entries of a folder (none: the root), sorted; their paths are from the root of the model. `files` are sorted. An
/// empty folder is an entry, for a client makes the folders that it finds, and has no entries itself.
fn entries<'f, P>(
    files: &'f [FileEntry<P>],
    empty_folders: &'f [FilePath],
    folder: Option<&FilePath>,
) -> Vec<FileInfo<'f>> {
    let prefix = folder.map(|f| format!("{f}/")).unwrap_or_default();
    let mut out: Vec<FileInfo<'f>> = Vec::new();
    for file in files {
        let path = file.path.as_str();
        let Some(rest) = path.strip_prefix(prefix.as_str()) else { continue };
        match rest.find('/') {
            None => out.push(FileInfo { path, is_dir: false, file_size: Some(file.size) }),
            Some(end) => {
                let path = path.get(..prefix.len() + end).unwrap_or(path);
                // The files of a folder are adjacent.
                if out.last().is_none_or(|e| e.path != path) {
                    out.push(FileInfo { path, is_dir: true, file_size: None });
                }
            }
        }
    }
    for path in empty_folders.iter().map(FilePath::as_str) {
        let Some(rest) = path.strip_prefix(prefix.as_str()) else { continue };
        let end = rest.find('/').unwrap_or(rest.len());
        out.push(FileInfo { path: path.get(..prefix.len() + end).unwrap_or(path), is_dir: true, file_size: None });
    }
    out.sort_by(|a, b| a.path.cmp(b.path));
    // A folder may hold files and folders without any.
    out.dedup_by(|a, b| a.path == b.path);
    out
}

/// Handles GET `…/mlflow-artifacts/artifacts?path=…`: base names, as in MLflow's proxy.
pub async fn by_path(call: Call) -> HandlerResult {
    let given = call.args.text("path")?.unwrap_or_default().to_owned();
    let mut parts = given.trim_end_matches('/').splitn(2, '/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("models", Some(rest)) => {
            let mut parts = rest.splitn(3, '/');
            let mut next = || parts.next().unwrap_or_default();
            let (model, version) = version_by_id(&call, next(), next())?;
            let folder = folder(next())?;
            let listed = files_of(&call, &model, version).await?;
            listing(entries(&listed.files, &listed.empty_folders, folder.as_ref()))
        }
        ("uploads", Some(rest)) => {
            let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
            let (id, folder) = (upload_id(id)?, folder(below)?);
            let (uploads, user) = (Arc::clone(&call.state.file_cache.uploads), call.caller.user.clone());
            let files = blocking(move || uploads.files(&id, &user)).await?;
            listing(entries(&files, &[], folder.as_ref()))
        }
        _ => {
            Err(ApiError::not_found("Files are listed below models/<model id>/<version> and uploads/<upload id> only."))
        }
    }
}

fn listing(mut files: Vec<FileInfo<'_>>) -> HandlerResult {
    for entry in &mut files {
        entry.path = entry.path.rsplit('/').next().unwrap_or(entry.path);
    }
    if files.is_empty() { Ok(Reply::done()) } else { Reply::json(&json!({ "files": files })) }
}

/// Handles GET `model-versions/list-artifacts`: paths from the model's root, in pages, as in Databricks. The list of a
/// file holds only the file itself.
pub async fn by_name(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let path = folder(call.args.text("path")?.unwrap_or_default().trim_end_matches('/'))?;
    let from = call.args.text("page_token")?.unwrap_or_default().to_owned();
    let all = files_of(&call, &model, version).await?;
    let files = &all.files;
    let mut listed = entries(files, &all.empty_folders, path.as_ref());
    if let Some(path) = &path
        && let Ok(at) = files.binary_search_by(|f| f.path.cmp(path))
        && let Some(file) = files.get(at)
    {
        listed = vec![FileInfo { path: file.path.as_str(), is_dir: false, file_size: Some(file.size) }];
    }
    // The token is the last path of the previous page. It stays valid, because the files of a version never change.
    let rest: Vec<_> = listed.into_iter().skip_while(|e| !from.is_empty() && e.path <= from.as_str()).collect();
    let (page, more) = rest.split_at(rest.len().min(PAGE));
    let next = page.last().filter(|_| !more.is_empty()).map(|e| e.path);
    match (page.is_empty(), next) {
        (true, _) => Ok(Reply::done()),
        (false, None) => Reply::json(&json!({ "files": page })),
        (false, Some(next)) => Reply::json(&json!({ "files": page, "next_page_token": next })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<FileEntry<()>> {
        let sha256 = crate::artifact::copy::sha256(b"");
        let entry =
            |p: &&str| FileEntry { path: FilePath::new(p).unwrap(), size: 1, sha256: sha256.clone(), place: () };
        paths.iter().map(entry).collect()
    }

    #[test]
    fn a_folder_is_listed_once_whatever_names_sort_beside_it() {
        let files = files(&["a/b", "code-x", "code.py", "code/a", "code/b/c", "code0/x"]);
        let listed: Vec<&str> = entries(&files, &[], None).iter().map(|e| e.path).collect();
        assert_eq!(listed, ["a", "code", "code-x", "code.py", "code0"]);
    }

    #[test]
    fn a_folder_is_listed_once_and_in_order() {
        let files = files(&["MLmodel", "code-x", "code/a.py", "code/b/c.py", "code/b/d.py", "code1"]);
        let shown = |folder: Option<&str>| -> Vec<(String, bool)> {
            let folder = folder.map(|f| FilePath::new(f).unwrap());
            entries(&files, &[], folder.as_ref()).iter().map(|e| (e.path.to_owned(), e.is_dir)).collect()
        };
        let name = |n: &str, dir: bool| (n.to_owned(), dir);
        assert_eq!(
            shown(None),
            [name("MLmodel", false), name("code", true), name("code-x", false), name("code1", false)]
        );
        assert_eq!(shown(Some("code")), [name("code/a.py", false), name("code/b", true)]);
        assert_eq!(shown(Some("code/b")), [name("code/b/c.py", false), name("code/b/d.py", false)]);
        assert_eq!(shown(Some("MLmodel")), []);
        assert_eq!(shown(Some("none")), []);
    }

    #[test]
    fn empty_folders_are_listed_beside_files() {
        let files = files(&["MLmodel", "code/a.py"]);
        let empty: Vec<FilePath> =
            ["code/none", "deep/er/none", "none"].iter().map(|p| FilePath::new(p).unwrap()).collect();
        let shown = |folder: Option<&str>| -> Vec<String> {
            let folder = folder.map(|f| FilePath::new(f).unwrap());
            let mark = |e: &FileInfo<'_>| format!("{}{}", e.path, if e.is_dir { "/" } else { "" });
            entries(&files, &empty, folder.as_ref()).iter().map(mark).collect()
        };
        assert_eq!(shown(None), ["MLmodel", "code/", "deep/", "none/"]);
        assert_eq!(shown(Some("code")), ["code/a.py", "code/none/"]);
        assert_eq!(shown(Some("deep")), ["deep/er/"]);
        assert_eq!(shown(Some("none")), Vec::<String>::new());
    }
}
