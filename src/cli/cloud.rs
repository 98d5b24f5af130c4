//! `om cloud`: the server that objects live behind and tasks run on, and who one is there.

use super::Session;
use super::config::{self, place};
use crate::config::{Profile, RemoteSettings, Secret, Url};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::remote::{Ask, Server, wire};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// `om cloud`.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub enum Cloud {
    /// Work on a server from now on
    Login(Login),
    /// Work without the server again
    #[command(after_help = "\
Examples:
  om cloud logout
  om cloud logout --profile production")]
    Logout,
    /// Show which server that is, and who one is there
    #[command(after_help = "\
Examples:
  om cloud config
  om cloud config -o json")]
    Config {
        /// `show`
        #[arg(value_name = "ACTION", value_parser = ["show"], default_value = "show", hide_default_value = true, hide_possible_values = true)]
        action: String,
    },
}

/// Work on a server from now on: its address, the user id and the API key go into the
/// configuration, once the server has taken them.
///
/// The key is read from stdin, or asked for on a terminal. With --profile NAME all of it
/// goes into that profile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om cloud login eva --apiurl https://om.example.com < key.txt
  om cloud login eva --apiurl https://om.example.com --profile production
  om cloud login")]
pub struct Login {
    /// The user id; asked for if missing
    #[arg(value_name = "USERID")]
    user: Option<String>,
    /// The API key; other users of this machine see it while the command runs
    #[arg(value_name = "APIKEY")]
    key: Option<String>,
    /// The account's qualifier
    #[arg(value_name = "QUALIFIER")]
    qualifier: Option<String>,
    /// The user id
    #[arg(
        long = "userid",
        value_name = "USERID",
        conflicts_with = "user",
        hide = true
    )]
    user_option: Option<String>,
    /// The API key
    #[arg(
        long = "apikey",
        value_name = "APIKEY",
        conflicts_with = "key",
        hide = true
    )]
    key_option: Option<String>,
    /// The server
    #[arg(long = "apiurl", value_name = "URL")]
    url: Option<String>,
}

/// The settings that say so.
const SETTINGS: [&str; 4] = [
    "OMEGA_RESTAPI_URL",
    "OMEGA_USERID",
    "OMEGA_APIKEY",
    "OMEGA_QUALIFIER",
];

/// Runs the command.
pub fn run(command: Cloud, session: &Session) -> Result<()> {
    match command {
        Cloud::Login(login) => login.run(session),
        Cloud::Logout => logout(session),
        Cloud::Config { .. } => show(session),
    }
}

impl Login {
    fn run(self, session: &Session) -> Result<()> {
        let place = place(session)?;
        let config = session.config()?;
        let url = self.url.or_else(|| config.text("OMEGA_RESTAPI_URL"));
        let url = url.ok_or_else(|| {
            Error::usage("which server?").hint("name it: --apiurl https://om.example.com")
        })?;
        let user = match self.user.or(self.user_option) {
            Some(user) => user,
            None => ask("Userid: ", false)?,
        };
        let key = match self.key.or(self.key_option) {
            Some(key) => key,
            None => ask("Apikey: ", true)?,
        };
        if user.is_empty() || key.is_empty() {
            return Err(Error::usage("a server wants a user id and an API key"));
        }
        let qualifier = self.qualifier.unwrap_or_else(|| "default".to_owned());
        let settings = RemoteSettings {
            url: Url::new(url.trim_end_matches('/')),
            user: user.clone(),
            key: Secret::new(key),
            qualifier: Some(qualifier.clone()),
            ca_file: config.text("CA_CERTS_PATH").map(Into::into),
            timeout: config.mongo_timeout(),
            default_bucket: config.default_bucket().to_owned(),
        };
        let values = [
            json!(settings.url.reveal()),
            json!(user),
            json!(settings.key.reveal()),
            json!(qualifier),
        ];
        // Nothing is written before the server has taken them.
        let server = Server::open(settings, session.progress())?;
        server.ask(&Ask::get(wire::STORE))?;
        let settings: Vec<(&str, Value)> = SETTINGS.into_iter().zip(values).collect();
        let path = config::write(&place, &settings)?;
        session.output.line(format!("Config is in {path}"))
    }
}

/// A line of stdin; on a terminal it is asked for, and not shown where it is secret.
fn ask(question: &str, secret: bool) -> Result<String> {
    let mut line = String::new();
    let read = || match secret && std::io::stdin().is_terminal() {
        true => rpassword::prompt_password(question).map(|typed| line = typed),
        false => {
            if std::io::stdin().is_terminal() {
                eprint!("{question}");
            }
            std::io::stdin().read_line(&mut line).map(drop)
        }
    };
    super::interrupt::while_asking(read).context(|| "cannot read stdin")?;
    Ok(line.trim().to_owned())
}

fn logout(session: &Session) -> Result<()> {
    let place = place(session)?;
    let mut were = false;
    let mut path = String::new();
    for name in SETTINGS {
        let (was, at) = config::remove(&place, name)?;
        were |= was;
        path = at;
    }
    match were {
        true => {
            session.output.note(format!("logged out, in {path}"));
            Ok(())
        }
        false => Err(Error::not_found(format!("{path} names no server"))
            .hint("see where it comes from: om config show --origin")),
    }
}

fn show(session: &Session) -> Result<()> {
    let config = session.config()?;
    let Profile::Remote { url, user, .. } = config.profile() else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "no server is in use: the profile is {}",
                config.profile().kind()
            ),
        )
        .hint("om cloud login USERID --apiurl URL"));
    };
    let file = config.files().last();
    let text = |name: &str| config.text(name).unwrap_or_else(|| "default".to_owned());
    let told = json!({
        "config_file": file.map(|file| file.display().to_string()),
        "qualifier": text("OMEGA_QUALIFIER"),
        "userid": user,
        "url": url.to_string(),
    });
    if session.output.is_structured() {
        return session.output.value(&told);
    }
    let shown = |value: &Value| value.as_str().unwrap_or("(none)").to_owned();
    session.output.text(&format!(
        "Config file: {}\nQualifier: {}\nUser id: {}\nREST API URL: {}",
        shown(&told["config_file"]),
        shown(&told["qualifier"]),
        shown(&told["userid"]),
        shown(&told["url"]),
    ))
}
