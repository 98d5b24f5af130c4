//! `om server users` and `om server keys`.

use crate::access::{Book, Grant, User};
use crate::cli::Session;
use crate::cli::output::{Cell, Column, Table};
use crate::error::Result;
use clap::Subcommand;

/// Who may use the server.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Add a user, or change what one may do
    #[command(after_help = "\
Examples:
  om server users add eva
  om server users add ci --grant run:omegaml/models --grant read
  om server users add root --grant admin")]
    Add {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
        /// A role, perhaps of one bucket and store: read, run, write, admin, write:BUCKET,
        /// run:BUCKET/models
        #[arg(long = "grant", value_name = "ROLE[:BUCKET[/STORE]]", default_value = "read", value_parser = grant)]
        grants: Vec<Grant>,
    },
    /// List users
    #[command(after_help = "\
Examples:
  om server users list
  om server users list -o json")]
    List,
    /// Remove a user with all keys
    #[command(after_help = "\
Examples:
  om server users remove eva
  om server users remove eva --quiet")]
    Remove {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// The keys of users.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key: it is printed this once
    #[command(after_help = "\
Examples:
  om server keys create eva
  om server keys create ci -q > ci.key")]
    Create {
        /// Whose it is
        #[arg(value_name = "USER")]
        user: String,
    },
    /// List keys, without what is secret of them
    #[command(after_help = "\
Examples:
  om server keys list
  om server keys list -o json")]
    List,
    /// Make a key count no longer
    #[command(after_help = "\
Examples:
  om server keys revoke 3f2a90c1d5e6b784
  om server keys revoke 3f2a90c1d5e6b784 08aa2be44dc1f957")]
    Revoke {
        /// Ids of keys
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

fn grant(text: &str) -> std::result::Result<Grant, String> {
    Grant::parse(text).map_err(|error| match error.hint_text() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}

impl Users {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let book = Book::of(om.storage().as_ref());
        match self {
            Users::Add { name, grants } => {
                book.set_user(&User { name, grants })?;
                Ok(())
            }
            Users::Remove { name } => book.remove_user(&name),
            Users::List => {
                let columns = [Column::new("NAME"), Column::new("GRANTS")];
                let mut table = Table::new(columns)
                    .when_empty("no users: whoever reaches the server may do everything");
                for user in book.users()? {
                    let grants: Vec<String> = user.grants.iter().map(Grant::to_string).collect();
                    table.push([
                        Cell::from(user.name.as_str()),
                        Cell::from(grants.join(", ")),
                    ]);
                }
                session.output.rows(&table)
            }
        }
    }
}

impl Keys {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let book = Book::of(om.storage().as_ref());
        match self {
            Keys::Create { user } => {
                let key = book.new_key(&user)?;
                session.output.line(&key.secret)?;
                let note = format!("keep it: it cannot be shown again; its id is {}", key.id);
                session.output.note(note);
                Ok(())
            }
            Keys::Revoke { ids } => ids.iter().try_for_each(|id| book.revoke_key(id)),
            Keys::List => {
                let mut table = Table::new([
                    Column::new("ID"),
                    Column::new("USER"),
                    Column::new("CREATED"),
                    Column::new("STATE"),
                ])
                .when_empty("no keys");
                for key in book.keys()? {
                    let created = chrono::DateTime::from_timestamp_millis(key.created);
                    let created =
                        created.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
                    table.push([
                        Cell::from(key.id.as_str()),
                        Cell::from(key.user.as_str()),
                        Cell::from(created.unwrap_or_default()),
                        Cell::from(if key.revoked { "revoked" } else { "valid" }),
                    ]);
                }
                session.output.rows(&table)
            }
        }
    }
}
