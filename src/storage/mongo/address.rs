//! Where the database is and who we are there: omega|ml's reading of its URL
//! (spec/storage.md §1), as options of the driver.

use super::Options;
use crate::config::Url;
use crate::error::{Context, Error, Result};
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use std::time::Duration;

/// How long a server may take to answer the driver's monitor.
const BUSY: Duration = Duration::from_secs(20);

/// Who omega|ml authenticates against, whatever the URL says.
const AUTHENTICATION_DATABASE: &str = "admin";

/// A parsed URL.
pub(super) struct Address {
    /// The host list, or the name to look up for `mongodb+srv`.
    hosts: String,
    srv: bool,
    user: Option<(String, String)>,
    /// The database.
    pub database: String,
}

impl Address {
    /// Splits `mongodb://user:password@host:port,…/database`. What precedes the first `@`
    /// is the credentials, taken literally; query parameters are ignored.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`], with the URL masked.
    pub fn parse(url: &Url) -> Result<Self> {
        let invalid = |why: &str| {
            Error::usage(format!(
                "`{url}` is not the URL of a MongoDB database: {why}"
            ))
            .on("OMEGA_MONGO_URL")
            .hint("write it as mongodb://user:password@host:27017/database")
        };
        let text = url.reveal();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("it has no scheme"))?;
        let srv = match scheme {
            "mongodb" => false,
            "mongodb+srv" => true,
            _ => return Err(invalid("its scheme is not mongodb")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        // A password may hold a slash: the path begins after the hosts.
        let (user, place) = match rest.split_once('@') {
            None => (None, rest),
            Some((user, place)) => {
                let (name, password) = user
                    .split_once(':')
                    .filter(|(_, password)| !password.contains(':'))
                    .ok_or_else(|| invalid("what precedes `@` is not user:password"))?;
                (Some((name.to_owned(), password.to_owned())), place)
            }
        };
        let (hosts, database) = place
            .split_once('/')
            .ok_or_else(|| invalid("it names no database"))?;
        if hosts.is_empty() {
            return Err(invalid("it names no host"));
        }
        let forbidden = |c: char| c.is_control() || "/\\. \"$*<>:|?".contains(c);
        if database.is_empty() || database.len() > 63 || database.contains(forbidden) {
            return Err(invalid("it names no database"));
        }
        Ok(Address {
            hosts: hosts.to_owned(),
            srv,
            user,
            database: database.to_owned(),
        })
    }

    /// The driver's options. Names are looked up for `mongodb+srv` only.
    pub async fn client(&self, options: &Options) -> Result<ClientOptions> {
        let mut client = if self.srv {
            ClientOptions::parse(format!("mongodb+srv://{}", self.hosts))
                .await
                .map_err(|error| super::connection::failure(&error, &options.url))?
        } else {
            let hosts = self
                .hosts
                .split(',')
                .map(ServerAddress::parse)
                .collect::<Result<Vec<_>, _>>()
                .context(|| format!("`{}` names no host that can be used", options.url))?;
            // Several hosts are the members of a replica set, which the driver explores.
            let direct = hosts.len() == 1;
            ClientOptions::builder()
                .hosts(hosts)
                .direct_connection(direct)
                .build()
        };
        client.app_name = Some(concat!("om ", env!("CARGO_PKG_VERSION")).to_owned());
        // The selection of a server bounds the attempt to reach one. The driver gives up a
        // server that answers its monitor later than this: one that is busy does.
        client.connect_timeout = Some(options.timeout.max(BUSY));
        client.server_selection_timeout = Some(options.timeout);
        client.credential = self.user.as_ref().map(|(name, password)| {
            Credential::builder()
                .username(name.clone())
                .password(password.clone())
                .source(AUTHENTICATION_DATABASE.to_owned())
                .build()
        });
        client.tls = Some(match options.tls {
            false => Tls::Disabled,
            true => {
                let mut tls = TlsOptions::default();
                tls.ca_file_path.clone_from(&options.ca_file);
                Tls::Enabled(tls)
            }
        });
        Ok(client)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_read_as_omegaml_reads_them() {
        let read = |url: &str| {
            let address = Address::parse(&Url::new(url)).unwrap();
            (address.user, address.hosts, address.database)
        };
        let user = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(
            read("mongodb://admin:foobar@localhost:27017/omega"),
            (
                user("admin", "foobar"),
                "localhost:27017".to_owned(),
                "omega".to_owned()
            )
        );
        // Credentials are not percent-decoded, parameters do not matter.
        assert_eq!(
            read("mongodb://u:p%40x@a,b:1/db?authSource=other"),
            (user("u", "p%40x"), "a,b:1".to_owned(), "db".to_owned())
        );
        assert_eq!(
            read("mongodb://db/x"),
            (None, "db".to_owned(), "x".to_owned())
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_secrets() {
        for url in [
            "",
            "localhost/omega",
            "postgres://u:CANARY@h/d",
            "mongodb://u:CANARY@h",
            "mongodb://u:CANARY@h/",
            "mongodb://u:CANARY@/d",
            "mongodb://CANARY@h/d",
            "mongodb://a:b:CANARY@h/d",
            "mongodb://u:CANARY@h/a.b",
        ] {
            let error = Address::parse(&Url::new(url)).err().unwrap();
            assert_eq!(error.kind(), crate::ErrorKind::Usage, "{url}");
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            let _ = Address::parse(&Url::new(text.clone()));
            let _ = Address::parse(&Url::new(format!("mongodb://{text}")));
        }
    }
}
