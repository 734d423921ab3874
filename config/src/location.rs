//! A folder on a disk or a prefix in a bucket, from a path or a URL, in a form in which two of them can be compared.
//! Looks at no disk: links are not followed, and nothing need exist.

use std::path::{Component, Path, PathBuf};

use url::Url;

const KNOWN: &str =
    "a path, file:///…, s3://bucket/…, adls://account/container/…, abfs[s]://container@account/…, gcs://bucket/… or gs://bucket/…";

/// What kind of store a location is in; schemes that mean the same store are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    File,
    S3,
    Adls,
    Gcs,
}

/// A place below the root of its store.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    store: Store,
    /// Bucket, or account; empty for files.
    authority: String,
    /// Folders from the top, the container of an account included.
    folders: Vec<String>,
    url: Url,
}

impl Location {
    /// Reads what the user wrote; a relative path is one of `cwd`. The error is a reason without its setting.
    pub(crate) fn parse(text: &str, cwd: &Path) -> Result<Self, String> {
        if text.is_empty() {
            return Err(format!("must be {KNOWN}"));
        }
        let location = if text.contains("://") { Self::from_url(text)? } else { Self::from_path(&cwd.join(text))? };
        let own = if location.store == Store::Adls { 2 } else { 1 };
        if location.folders.len() < own {
            return Err(format!("must name a folder of its own, {text:?} is the top of the store"));
        }
        Ok(location)
    }

    fn from_path(path: &Path) -> Result<Self, String> {
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir => {
                    plain.pop();
                }
                other => plain.push(other),
            }
        }
        let url = Url::from_file_path(&plain).map_err(|()| format!("{} is not an absolute path", plain.display()))?;
        let folders = plain.iter().skip(1).map(|folder| folder.to_str().map(str::to_owned));
        let folders = folders.collect::<Option<Vec<_>>>().ok_or_else(|| format!("{} is not UTF-8", plain.display()))?;
        Ok(Self { store: Store::File, authority: String::new(), folders, url })
    }

    fn from_url(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|e| format!("{text:?} is not a URL: {e}"))?;
        let store = match url.scheme() {
            "file" => Store::File,
            "s3" => Store::S3,
            "adls" | "abfs" | "abfss" => Store::Adls,
            "gcs" | "gs" => Store::Gcs,
            other => return Err(format!("must be {KNOWN}, got the scheme {other:?}")),
        };
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must have no password, query or fragment; credentials belong in storage.object_store".to_owned());
        }
        if store == Store::File {
            let path = url.to_file_path().map_err(|()| format!("{text:?} must be absolute: file:///folder"))?;
            return Self::from_path(&path);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let container = (!url.username().is_empty()).then(|| url.username().to_owned());
        if host.is_empty() || (container.is_some() && store != Store::Adls) {
            return Err(format!("must be {KNOWN}"));
        }
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
        }
        let path = url.path_segments().into_iter().flatten().map(str::to_owned);
        let folders: Vec<String> = container.into_iter().chain(path).collect();
        if folders.iter().any(String::is_empty) && folders.len() > 1 {
            return Err(format!("{text:?} has a folder without a name"));
        }
        let folders = folders.into_iter().filter(|folder| !folder.is_empty()).collect();
        Ok(Self { store, authority: host, folders, url })
    }

    /// The location's URL, in the scheme it was written in.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it lies in a bucket.
    pub(crate) fn is_bucket(&self) -> bool {
        self.store != Store::File
    }

    /// The name of the last folder.
    pub(crate) fn name(&self) -> &str {
        self.folders.last().map_or("", String::as_str)
    }

    /// The URL of the folder that it lies in.
    pub(crate) fn folder(&self) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().pop();
        }
        url
    }

    /// How many folders it lies below the top of its store, itself not counted.
    pub(crate) fn parent_depth(&self) -> usize {
        self.folders.len().saturating_sub(1)
    }

    /// The location of another name in the same folder.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let mut twin = self.clone();
        twin.folders.pop();
        twin.folders.push(name.to_owned());
        if let Ok(mut path) = twin.url.path_segments_mut() {
            path.pop_if_empty().pop().push(name);
        }
        twin
    }

    /// How many folders from the top it shares with another; `None` for another store or bucket.
    pub(crate) fn shared_depth(&self, other: &Self) -> Option<usize> {
        let same = self.store == other.store && self.authority == other.authority;
        same.then(|| self.folders.iter().zip(&other.folders).take_while(|(a, b)| a == b).count())
    }

    /// Whether both are the same place, however they were written.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.shared_depth(other) == Some(self.folders.len()) && self.folders.len() == other.folders.len()
    }
}
