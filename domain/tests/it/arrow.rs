//! Who may depend on whom, and what stands where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};

const MAX_LINES: usize = 500;

/// What may be depended on: (from, to).
const EDGES: [(&str, &str); 5] = [
    ("berth-projections", "berth-domain"),
    ("berth-api", "berth-domain"),
    ("berth-api", "berth-projections"),
    ("berth-agent", "berth-domain"),
    ("berth-fixtures", "berth-domain"),
];

/// What only `berth demo` needs: (from, to).
const FOR_THE_DEMO: [(&str, &str); 2] = [("berth-api", "berth-agent"), ("berth-api", "berth-fixtures")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The workspace with every default feature, as this machine builds it; read without network.
static WORKSPACE: LazyLock<Metadata> = LazyLock::new(|| {
    let rustc = std::process::Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(rustc.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::SomeFeatures(vec!["berth-api/demo".into()]))
        .other_options(["--offline", "--filter-platform", host].map(String::from))
        .exec()
        .unwrap()
});

/// The names of everything that `package` is built from, itself included; build scripts and tests left out.
fn built_from(package: &str) -> BTreeSet<&'static str> {
    let names: BTreeMap<&PackageId, &str> =
        WORKSPACE.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let nodes = &WORKSPACE.resolve.as_ref().unwrap().nodes;
    let nodes: BTreeMap<&PackageId, _> = nodes.iter().map(|node| (&node.id, node)).collect();
    let mut open: Vec<_> = names.iter().filter(|(_, name)| **name == package).map(|(id, _)| *id).collect();
    assert_eq!(open.len(), 1, "{package} must be a package");
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let normal = |dep: &&cargo_metadata::NodeDep| {
                dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            };
            open.extend(nodes[id].deps.iter().filter(normal).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| names[id]).collect()
}

#[track_caller]
fn is_built_without(package: &str, banned: &[&str]) {
    let all = built_from(package);
    let found: Vec<_> = all.iter().filter(|name| banned.contains(name)).collect();
    assert!(found.is_empty(), "{package} is built from {found:?}");
}

#[test]
fn dependencies_point_only_one_way() {
    let members = WORKSPACE.workspace_packages();
    let names: BTreeSet<_> = members.iter().map(|p| p.name.as_str()).collect();
    let expected = ["berth-agent", "berth-api", "berth-domain", "berth-fixtures", "berth-projections"];
    assert_eq!(names, BTreeSet::from(expected));
    for package in &members {
        for dep in package.dependencies.iter().filter(|dep| names.contains(dep.name.as_str())) {
            let edge = (package.name.as_str(), dep.name.as_str());
            let allowed = match dep.kind {
                DependencyKind::Development => edge.1 == "berth-fixtures" || EDGES.contains(&edge),
                DependencyKind::Normal if FOR_THE_DEMO.contains(&edge) => dep.optional,
                DependencyKind::Normal => EDGES.contains(&edge),
                _ => false,
            };
            assert!(allowed, "{} must not depend on {} ({:?})", edge.0, edge.1, dep.kind);
        }
    }
}

#[test]
fn the_server_holds_the_agent_and_fixtures_only_for_the_demo() {
    let api = WORKSPACE.workspace_packages().into_iter().find(|p| p.name.as_str() == "berth-api").unwrap();
    let by = |part: &str| {
        let features = api.features.iter().filter(|(_, on)| on.iter().any(|feature| feature == part));
        features.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(by("dep:agent"), ["demo"]);
    assert!(by("dep:fixtures").iter().all(|feature| *feature == "demo"), "{:?}", by("dep:fixtures"));
}

#[test]
fn the_rules_are_built_without_runtime_database_or_network() {
    is_built_without(
        "berth-domain",
        &["tokio", "sqlx", "sqlx-core", "axum", "reqwest", "rusqlite", "hyper", "rustls", "eventstore"],
    );
}

#[test]
fn the_agent_is_built_without_server_or_database() {
    is_built_without(
        "berth-agent",
        &["axum", "sqlx", "sqlx-core", "rusqlite", "libsqlite3-sys", "eventstore", "berth-projections"],
    );
}

#[test]
fn the_graph_is_really_read() {
    assert!(built_from("berth-domain").contains("ed25519-dalek"));
    assert!(built_from("berth-projections").contains("tokio"));
}

#[test]
fn only_these_names_stand_at_the_top() {
    const NAMES: [&str; 10] = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "domain",
        "projections",
        "api",
        "agent",
        "migrations",
        "fixtures",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = NAMES.contains(&name.as_str()) || name.starts_with('.') || name.starts_with("LICENSE");
        assert!(known, "{name} must not stand beside Cargo.toml");
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; split it", file.display());
    }
}
