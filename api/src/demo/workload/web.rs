//! The renter's folder as a web site.

use std::path::{Path, PathBuf};

use axum::{
    Router,
    extract::{Path as At, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The most of a file that is served, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Serves until stopped.
pub async fn serve(listener: TcpListener, title: String, folder: PathBuf, stop: CancellationToken) {
    let site = Router::new().route("/", get(index)).route("/{name}", get(file)).with_state((title, folder));
    crate::listen::serve(listener, site, stop).await;
}

async fn index(State((title, folder)): State<(String, PathBuf)>) -> Response {
    if let Some(page) = read(&folder, "index.html").await {
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    }
    let mut names = Vec::new();
    if let Ok(mut entries) = tokio::fs::read_dir(&folder).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
        }
    }
    names.sort();
    let files = if names.is_empty() { "no files yet".to_owned() } else { names.join("\n") };
    format!("{title}: a renter's own web server, reached through the gateway.\n\n{files}\n").into_response()
}

async fn file(State((_, folder)): State<(String, PathBuf)>, At(name): At<String>) -> Response {
    match read(&folder, &name).await {
        Some(content) => ([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

/// A file that is in the folder itself.
async fn read(folder: &Path, name: &str) -> Option<Vec<u8>> {
    if name.starts_with('.') || name.contains(['/', '\\']) {
        return None;
    }
    let path = folder.join(name);
    let about = tokio::fs::symlink_metadata(&path).await.ok()?;
    if !about.is_file() || about.len() > MAX_FILE {
        return None;
    }
    tokio::fs::read(&path).await.ok()
}
