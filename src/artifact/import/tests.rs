//! Sources are parsed only if they may be copied; copying a folder never leaves it.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn sources(places: &[&str], tracking: Option<&str>) -> Sources {
    let places: Vec<String> = places.iter().map(|p| (*p).to_owned()).collect();
    Sources::new(&places, tracking, None).expect("places")
}

fn shown(origin: Option<ImportOrigin>) -> String {
    let at = |path: Option<FilePath>| path.map_or_else(String::new, |p| format!(" {p}"));
    match origin {
        None => "reference".to_owned(),
        Some(ImportOrigin::Folder { root, path }) => format!("folder {}{}", root.display(), at(path)),
        Some(ImportOrigin::Proxied { server, path }) => format!("proxied {server}{}", at(path)),
        Some(ImportOrigin::LoggedModel(id)) => format!("logged {id}"),
        Some(ImportOrigin::OfRun { run, path }) => format!("run {run} {path}"),
    }
}

#[test]
fn a_source_below_a_named_place_is_an_origin() {
    let sources = sources(
        &["file:///srv/models", "/data/", "https://artifacts.example/mlflow/api/2.0/mlflow-artifacts/artifacts/team"],
        Some("http://tracking:5000"),
    );
    for (source, wanted) in [
        ("file:///srv/models/wine/1", "folder /srv/models wine/1"),
        ("/srv/models/wine/1/", "folder /srv/models wine/1"),
        ("file:/srv/models/wine", "folder /srv/models wine"),
        ("file:///srv/models", "folder /srv/models"),
        ("/data/m", "folder /data m"),
        (
            "https://artifacts.example/mlflow/api/2.0/mlflow-artifacts/artifacts/team/m",
            "proxied https://artifacts.example:443/mlflow/api/2.0/mlflow-artifacts/artifacts team/m",
        ),
        ("mlflow-artifacts:/1/models/m", "proxied http://tracking:5000/api/2.0/mlflow-artifacts/artifacts 1/models/m"),
        ("mlflow-artifacts:///1/m", "proxied http://tracking:5000/api/2.0/mlflow-artifacts/artifacts 1/m"),
        ("mlflow-artifacts://tracking:5000/1/m", "proxied http://tracking:5000/api/2.0/mlflow-artifacts/artifacts 1/m"),
        (
            "http://tracking:5000/api/2.0/mlflow-artifacts/artifacts/1/m",
            "proxied http://tracking:5000/api/2.0/mlflow-artifacts/artifacts 1/m",
        ),
        ("models:/m-0123456789abcdef", "logged m-0123456789abcdef"),
        ("runs:/0123abcd/model", "run 0123abcd model"),
        ("runs:/0123abcd/nested/model", "run 0123abcd nested/model"),
    ] {
        assert_eq!(shown(sources.origin(source)), wanted, "{source}");
    }
}

#[test]
fn every_other_source_stays_a_reference() {
    let all = sources(
        &["file:///srv/models", "http://artifacts/api/2.0/mlflow-artifacts/artifacts/team"],
        Some("http://tracking:5000"),
    );
    for source in [
        "",
        "/",
        "/etc/passwd",
        "file:///etc",
        "/srv/modelsx/m",
        "/srv/model",
        "/srv",
        "srv/models/m",
        "/srv/models/../../etc",
        "/srv/models/./m",
        "/srv/models//m",
        "//srv/models/m",
        "file:////srv/models/m",
        "file://host/srv/models/m",
        "file://localhost/srv/models/m",
        "file:srv/models/m",
        "FILE:///srv/models/m",
        "file:///srv/models/%2e%2e/m",
        "file:///srv/models/a%2Fb",
        "file:///srv/models/m#x",
        "file:///srv/models/m;x",
        "file:///srv/models/m?x",
        "file:///srv/models\\..\\m",
        "/srv/models/.git",
        "/srv/models/m\0",
        "/srv/models/m\n",
        "/srv/models/a b",
        "http://artifacts/api/2.0/mlflow-artifacts/artifacts/other/m",
        "http://artifacts/api/2.0/mlflow-artifacts/artifacts/teamx/m",
        "http://artifacts/api/2.0/mlflow-artifacts/artifacts",
        "http://artifacts:81/api/2.0/mlflow-artifacts/artifacts/team/m",
        "https://artifacts/api/2.0/mlflow-artifacts/artifacts/team/m",
        "http://artifacts/api/2.0/mlflow/team/m",
        "http://artifacts@evil/api/2.0/mlflow-artifacts/artifacts/team/m",
        "http://evil/http://artifacts/api/2.0/mlflow-artifacts/artifacts/team/m",
        "http://artifacts/api/2.0/mlflow-artifacts/artifacts/team/../m",
        "http://169.254.169.254/latest/meta-data",
        "mlflow-artifacts://evil:5000/1/m",
        "mlflow-artifacts://tracking/1/m",
        "mlflow-artifacts:1/m",
        "mlflow-artifacts:/",
        "mlflow-artifacts:/1/../../m",
        "mlflow-artifacts:/uploads/0123456789abcdef0123456789abcdef",
        "models:/m-",
        "models:/m-../x",
        "models:/wine/1",
        "models:/m-0123/1",
        "runs:/",
        "runs:/abc",
        "runs:/../model",
        "runs:/a b/model",
        "runs:/abc/../model",
        "s3://bucket/model",
        "gs://bucket/model",
        "dbfs:/models/m",
        "dummy-source",
    ] {
        assert_eq!(shown(all.origin(source)), "reference", "{source}");
    }
    let nothing = Sources::default();
    for source in ["/srv/models/m", "models:/m-0123", "runs:/abc/m", "mlflow-artifacts:/1/m"] {
        assert_eq!(nothing.origin(source), None, "{source}");
    }
}

#[test]
fn what_is_no_place_is_refused_at_the_start() {
    for bad in [
        "",
        "/",
        "file:///",
        "srv/models",
        "s3://bucket",
        "http://host",
        "http://host/api",
        "file://host/srv",
        "/srv/../etc",
        "/a%20b",
    ] {
        assert!(Sources::new(&[bad.to_owned()], None, None).is_err(), "{bad}");
    }
    for bad in ["host", "file:///srv", "http://", "http://a:b@host"] {
        assert!(Sources::new(&[], Some(bad), None).is_err(), "{bad}");
    }
}

#[test]
fn credentials_go_to_the_tracking_server_alone() -> Outcome {
    let token = Credentials::token("secret");
    let tracking = Tracking::new(ServerBase::parse("http://tracking:5000")?, Some(token.clone()));
    assert_eq!(tracking.credentials_for(&ServerBase::parse("http://tracking:5000/api")?), Some(token));
    for other in ["https://tracking:5000", "http://tracking:5001", "http://other:5000"] {
        assert_eq!(tracking.credentials_for(&ServerBase::parse(other)?), None, "{other}");
    }
    Ok(())
}

#[test]
fn a_folder_is_copied_and_no_link_leads_out_of_it() -> Outcome {
    let dir = tempfile::tempdir()?;
    let root = dir.path().canonicalize()?;
    let (named, secret) = (root.join("named"), root.join("secret"));
    fs::create_dir_all(named.join("good/data"))?;
    fs::write(named.join("good/MLmodel"), "flavors: {}")?;
    fs::write(named.join("good/data/m.bin"), [0; 100])?;
    fs::create_dir_all(&secret)?;
    fs::write(secret.join("key"), "canary")?;
    symlink(&secret, named.join("link"))?;
    fs::create_dir(named.join("inner"))?;
    symlink(secret.join("key"), named.join("inner/key"))?;
    fs::write(named.join("file"), "x")?;
    let sources = sources(&[named.to_str().ok_or("UTF-8")?], None);
    let store = Store::at(root.join("lfs"));
    let copy = |source: &str| {
        let source = format!("{}/{source}", named.display());
        let origin = sources.origin(&source).expect("it lies below the named folder");
        sources.copy(&origin, &store, &ArtifactLimits::default(), &|_, _| {}).map_err(|e| crate::text::with_causes(&e))
    };
    let taken = copy("good")?;
    assert_eq!(taken.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["MLmodel", "data/m.bin"]);
    assert!(taken.facts.model.is_some());
    for bad in ["link", "link/key", "inner", "file", "missing"] {
        assert!(copy(bad).is_err(), "{bad}");
    }
    // The named folder itself may be a symbolic link.
    symlink(&named, root.join("alias"))?;
    let by_link = super::Sources::new(&[root.join("alias").display().to_string()], None, None)?;
    let origin = by_link.origin(&format!("{}/alias/good", root.display())).ok_or("below the named folder")?;
    assert_eq!(by_link.copy(&origin, &store, &ArtifactLimits::default(), &|_, _| {})?, taken);
    Ok(())
}
