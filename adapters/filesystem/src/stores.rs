//! From a URL and options to a store. Knows the providers' builders; credentials pass through and are never printed.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use proximadb_ports::{Fault, Filesystem, PortError, Result};

use crate::bucket::BucketFilesystem;
use crate::faults::store_error;
use crate::local::LocalFilesystem;
use crate::location::Location;

const OP: &str = "filesystem.open";
/// Tries after the first of a request that may be repeated.
const RETRIES_MAX: usize = 4;
/// After this no further try is begun.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// A whole request, so the largest object must pass in it; the option `timeout` overrides it.
const REQUEST_TIMEOUT: &str = "300s";
/// Until a connection stands; the option `connect_timeout` overrides it.
const CONNECT_TIMEOUT: &str = "5s";

type Options = BTreeMap<String, String>;

/// Opens the place that `url` names: `file:///path`, `s3://bucket/prefix`, `gcs://` or `gs://bucket/prefix`,
/// `adls://account.dfs.core.windows.net/container/prefix`, `adls://container/prefix`, or the `abfs` and `abfss` forms.
///
/// Options have the names that `object_store` gives them (`access_key_id`, `endpoint`, `allow_http`, …) and win over the
/// usual environment variables (`AWS_…`, `AZURE_…`, `GOOGLE_…`). Plain HTTP is refused unless `allow_http` is `true`. A local
/// directory must be there, takes no options, and is never made. Nothing is asked of a bucket yet.
///
/// # Errors
/// `Invalid` for a malformed URL or option; `NotFound` for a missing directory; `Unavailable`.
pub fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn Filesystem>> {
    let location = Location::parse(url)?;
    let failed = |error| store_error(OP, url, error);
    // A create that is repeated unseen would take its own first try for another's, so creates have a client without retries.
    let both = |build: &dyn Fn(RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>>| -> Result<[Arc<dyn ObjectStore>; 2]> {
        Ok([build(retry(RETRIES_MAX)).map_err(failed)?, build(retry(0)).map_err(failed)?])
    };
    let (stores, prefix, prefixes_may_be_empty) = match location {
        Location::Directory(root) => {
            if let Some(option) = options.keys().next() {
                return Err(unknown_option(option, "a local directory", "none"));
            }
            return Ok(Arc::new(LocalFilesystem::open(&root)?));
        }
        Location::S3 { bucket, prefix } => {
            let builder = s3(&bucket, options)?;
            let build = |retry| Ok(Arc::new(builder.clone().with_retry(retry).build()?) as Arc<dyn ObjectStore>);
            (both(&build)?, prefix, false)
        }
        Location::Azure { account, container, prefix } => {
            let builder = azure(account, &container, options)?;
            let build = |retry| Ok(Arc::new(builder.clone().with_retry(retry).build()?) as Arc<dyn ObjectStore>);
            // With a hierarchical namespace directories are things of their own and stay when their last object goes.
            (both(&build)?, prefix, true)
        }
        Location::Google { bucket, prefix } => {
            let builder = google(&bucket, options)?;
            let build = |retry| Ok(Arc::new(builder.clone().with_retry(retry).build()?) as Arc<dyn ObjectStore>);
            (both(&build)?, prefix, false)
        }
    };
    let prefix = object_store::path::Path::from_url_path(&prefix).map_err(|e| failed(e.into()))?;
    let [store, creator] = stores.map(|store| Arc::new(PrefixStore::new(store, prefix.clone())) as Arc<dyn ObjectStore>);
    Ok(Arc::new(BucketFilesystem::new(store, creator, prefixes_may_be_empty)))
}

fn retry(max_retries: usize) -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 };
    RetryConfig { backoff, max_retries, retry_timeout: RETRY_TIMEOUT }
}

fn unknown_option(option: &str, place: &str, example: &str) -> PortError {
    PortError::new(Fault::Invalid, OP, option, format!("{place} knows no such option; known are, for example, {example}"))
        .with_field(option)
}

/// The options as the builder's keys; what names the place itself is the URL's to say.
fn keys<K: FromStr>(options: &Options, place: &str, example: &str) -> Result<Vec<(K, String)>> {
    let read = |(option, value): (&String, &String)| match option.to_ascii_lowercase() {
        name if name.contains("bucket") && !name.contains("virtual") || name.contains("container") => {
            Err(PortError::new(Fault::Invalid, OP, option, "belongs into the URL").with_field(option))
        }
        name => name.parse().map(|key| (key, value.clone())).map_err(|_| unknown_option(option, place, example)),
    };
    options.iter().map(read).collect()
}

fn s3(bucket: &str, options: &Options) -> Result<AmazonS3Builder> {
    let builder = AmazonS3Builder::from_env()
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT);
    let options = keys(options, "s3", "access_key_id, secret_access_key, session_token, region, endpoint, allow_http and timeout")?;
    let builder = options.into_iter().fold(builder, |b, (key, value)| b.with_config(key, value));
    Ok(builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch))
}

fn azure(account: Option<String>, container: &str, options: &Options) -> Result<MicrosoftAzureBuilder> {
    let builder = MicrosoftAzureBuilder::from_env()
        .with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
        .with_config(AzureConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT);
    let options = keys(
        options,
        "adls",
        "account_name, account_key, sas_key, client_id, client_secret, tenant_id, endpoint, use_emulator and allow_http",
    )?;
    let builder = options.into_iter().fold(builder, |b, (key, value)| b.with_config(key, value));
    let builder = builder.with_container_name(container);
    Ok(match account {
        Some(account) => builder.with_account(account),
        None => builder,
    })
}

fn google(bucket: &str, options: &Options) -> Result<GoogleCloudStorageBuilder> {
    let builder = GoogleCloudStorageBuilder::from_env()
        .with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
        .with_config(GoogleConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT);
    let parsed =
        keys(options, "gcs", "service_account_path, service_account_key, application_credentials, bearer_token, base_url and allow_http")?;
    let builder = parsed.into_iter().fold(builder, |b, (key, value)| b.with_config(key, value)).with_bucket_name(bucket);
    // This builder allows plain HTTP by itself, for the metadata server; for objects it has to be asked for like elsewhere.
    let asked = ["allow_http", "google_allow_http"].iter().any(|o| options.get(*o).is_some_and(|v| v == "true"));
    let plain = builder.get_config_value(&GoogleConfigKey::BaseUrl).is_some_and(|base| !base.starts_with("https://"));
    if plain && !asked {
        return Err(PortError::new(Fault::Invalid, OP, bucket, "the base_url is plain HTTP; allow_http must be true for that")
            .with_field("base_url"));
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn fails(url: &str, pairs: &[(&str, &str)]) -> PortError {
        open(url, &options(pairs)).err().expect(url)
    }

    #[test]
    fn every_scheme_opens_without_a_request() {
        let s3 = [("access_key_id", "id"), ("secret_access_key", "hush"), ("region", "eu-west-1")];
        open("s3://bucket/prefix", &options(&s3)).expect("s3");
        let azure = [("account_name", "acc"), ("account_key", "aHVzaA==")];
        for url in ["adls://box/a", "adls://acc.dfs.core.windows.net/box/a", "abfss://box@acc.dfs.core.windows.net/a"] {
            open(url, &options(&azure)).expect(url);
        }
        for url in ["gcs://bucket/a", "gs://bucket"] {
            open(url, &options(&[("bearer_token", "token")])).expect(url);
        }
    }

    #[test]
    fn unknown_options_are_named_and_their_values_are_not() {
        for (url, option) in [
            ("s3://b", "acess_key"),
            ("adls://b", "region_x"),
            ("gs://b", "endpoint_x"),
            ("file:///tmp", "region"),
            ("s3://b", "bucket_name"),
        ] {
            let error = fails(url, &[(option, "hush")]);
            assert_eq!((error.fault, error.field.as_deref()), (Fault::Invalid, Some(option)));
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn plain_http_to_google_has_to_be_asked_for() {
        let base = ("base_url", "http://127.0.0.1:1");
        assert_eq!(fails("gs://b", &[base, ("bearer_token", "token")]).field.as_deref(), Some("base_url"));
        open("gs://b", &options(&[base, ("bearer_token", "token"), ("allow_http", "true")])).expect("asked for");
    }

    #[tokio::test]
    async fn plain_http_to_s3_has_to_be_asked_for() {
        let pairs = [("endpoint", "http://127.0.0.1:1"), ("access_key_id", "a"), ("secret_access_key", "b"), ("region", "r")];
        let fs = open("s3://b", &options(&pairs)).expect("open");
        let error = fs.get("key").await.expect_err("refused");
        assert!(format!("{error:?}").to_lowercase().contains("scheme"), "{error:?}");
    }
}
