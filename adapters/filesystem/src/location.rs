//! What a site's URL says. Pure: reads no environment, opens nothing.

use std::path::PathBuf;

use proximadb_ports::{Fault, PortError, Result};
use url::Url;

const OP: &str = "filesystem.open";

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A directory on a local disk.
    Directory(PathBuf),
    /// A bucket, and a prefix in it (empty for all).
    S3 { bucket: String, prefix: String },
    /// A container of a storage account; the account may also come from the options.
    Azure { account: Option<String>, container: String, prefix: String },
    /// A bucket, and a prefix in it.
    Google { bucket: String, prefix: String },
}

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Invalid`, with the known schemes for an unknown one.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| PortError::new(Fault::Invalid, OP, redacted(text), why);
        let url = Url::parse(text).map_err(|e| wrong("is no URL").with_source(e))?;
        if url.query().is_some() || url.fragment().is_some() || url.password().is_some() || url.port().is_some() {
            return Err(wrong("has a password, port, query or fragment; credentials and endpoints go into the options"));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let path = url.path().trim_matches('/').to_owned();
        match url.scheme() {
            "file" => {
                let absolute = text.starts_with("file:///");
                let directory = url.to_file_path().ok().filter(|_| absolute && host.is_empty());
                directory.map(Self::Directory).ok_or_else(|| wrong("must be file:///absolute/path"))
            }
            "s3" | "gs" | "gcs" => {
                if host.is_empty() || !url.username().is_empty() {
                    return Err(wrong("must be scheme://bucket/prefix"));
                }
                let prefix = path;
                Ok(if url.scheme() == "s3" { Self::S3 { bucket: host, prefix } } else { Self::Google { bucket: host, prefix } })
            }
            "adls" | "abfs" | "abfss" => azure(url.username(), &host, &path)
                .ok_or_else(|| wrong("must be adls://account.dfs.core.windows.net/container/prefix, adls://container/prefix or abfss://container@account.dfs.core.windows.net/prefix")),
            scheme => Err(wrong(&format!("unknown scheme {scheme:?}; known are file, s3, adls, abfs, abfss, gcs and gs"))),
        }
    }
}

/// A URL for an error message: what stands before an `@` may be a secret that somebody put there by mistake.
fn redacted(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at && text[..at].matches(':').count() > 1 => {
            format!("{}…{}", &text[..scheme + 3], &text[at..])
        }
        _ => text.to_owned(),
    }
}

fn azure(user: &str, host: &str, path: &str) -> Option<Location> {
    let account_of = |host: &str| {
        let name = host.strip_suffix(".dfs.core.windows.net").or_else(|| host.strip_suffix(".blob.core.windows.net"))?;
        (!name.is_empty() && !name.contains('.')).then(|| name.to_owned())
    };
    let (account, container, prefix) = if !user.is_empty() {
        // `container@account` is short for the full host.
        let account = if host.contains('.') { account_of(host)? } else { host.to_owned() };
        (Some(account), user, path)
    } else if host.contains('.') {
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        (Some(account_of(host)?), container, prefix)
    } else {
        (None, host, path)
    };
    let empty = container.is_empty() || account.as_deref() == Some("");
    (!empty).then(|| Location::Azure { account, container: container.to_owned(), prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(account: Option<&str>, container: &str, prefix: &str) -> Location {
        Location::Azure { account: account.map(str::to_owned), container: container.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn known_urls_read() {
        let (bucket, prefix) = ("bucket".to_owned(), "a/b".to_owned());
        for (text, expected) in [
            ("file:///var/lib/proximadb", Location::Directory("/var/lib/proximadb".into())),
            ("file:///with%20space", Location::Directory("/with space".into())),
            ("s3://bucket/a/b", Location::S3 { bucket: bucket.clone(), prefix: prefix.clone() }),
            ("s3://bucket", Location::S3 { bucket: bucket.clone(), prefix: String::new() }),
            ("s3://bucket/", Location::S3 { bucket: bucket.clone(), prefix: String::new() }),
            ("gcs://bucket/a/b/", Location::Google { bucket: bucket.clone(), prefix: prefix.clone() }),
            ("gs://bucket/a/b", Location::Google { bucket, prefix }),
            ("adls://acc.dfs.core.windows.net/box/a/b", azure(Some("acc"), "box", "a/b")),
            ("adls://acc.dfs.core.windows.net/box", azure(Some("acc"), "box", "")),
            ("adls://box/a", azure(None, "box", "a")),
            ("abfs://box/a", azure(None, "box", "a")),
            ("abfss://box@acc.dfs.core.windows.net/a/b", azure(Some("acc"), "box", "a/b")),
            ("abfs://box@acc/a", azure(Some("acc"), "box", "a")),
        ] {
            assert_eq!(Location::parse(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "no URL"),
            ("/var/lib", "no URL"),
            ("ftp://host/a", "known are file, s3"),
            ("file://relative/path", "file:///absolute"),
            ("file:relative", "file:///absolute"),
            ("s3:///prefix", "bucket"),
            ("s3://user@bucket/a", "bucket"),
            ("s3://bucket:9000/a", "port"),
            ("s3://bucket/a?x=y", "query"),
            ("adls://acc.dfs.core.windows.net", "adls://"),
            ("adls://acc.example.com/box", "adls://"),
            ("abfss://box@acc.example.com/a", "adls://"),
        ] {
            let error = Location::parse(text).expect_err(text);
            assert_eq!(error.fault, Fault::Invalid);
            assert!(error.message.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = Location::parse("s3://AKIA:hush@bucket/a").expect_err("password");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
