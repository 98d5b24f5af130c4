//! `om config`: shows and changes settings and profiles.

use super::Session;
use super::completion;
use super::output::{Cell, Column, Table};
use crate::config::{Environment, Locations, NO_PROFILE, Profiles, SettingValue, edit, variables};
use crate::error::{Context, Error, Result, nearest};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// `om config`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the settings as they count, without secrets
    #[command(
        alias = "list",
        after_help = "\
Examples:
  om config show
  om config show --origin
  om config show -o json --profile production"
    )]
    Show {
        /// Show where each value comes from
        #[arg(long, visible_alias = "show-origin")]
        origin: bool,
    },
    /// Show one setting
    #[command(after_help = "\
Examples:
  om config get OMEGA_STORE_URL
  om config get OMEGA_BUCKET --profile production")]
    Get {
        /// The setting
        #[arg(add = completion::settings())]
        name: String,
    },
    /// Change a setting: of the user, of --profile NAME, or in --config FILE
    #[command(after_help = "\
The value is text, a number, true or false, or a JSON list or mapping; - reads it from
stdin, which is the way for secrets. A profile that does not exist is made.

Examples:
  om config set OMEGA_BUCKET research
  om config set OMEGA_STORE_URL file:///data/store --profile lab
  om config set OMEGA_APIKEY - < key.txt
  om config set OMEGA_TASK_TIMEOUT 60 --config ./config.yml")]
    Set {
        /// The setting
        #[arg(add = completion::settings())]
        name: String,
        /// Its value
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a setting: of the user, of --profile NAME, or in --config FILE
    #[command(after_help = "\
Examples:
  om config unset OMEGA_BUCKET
  om config unset OMEGA_STORE_URL --profile lab")]
    Unset {
        /// The setting
        #[arg(add = completion::settings())]
        name: String,
    },
    /// Show the configuration files, the weakest first
    #[command(after_help = "\
Examples:
  om config path
  om config path -o json")]
    Path,
    /// Make a profile the current one; 'default' is none
    #[command(after_help = "\
Examples:
  om config use production
  om config use default")]
    Use {
        /// The profile
        #[arg(add = completion::profiles())]
        name: String,
    },
    /// List the profiles
    #[command(after_help = "\
Profiles are made by: om config set NAME VALUE --profile PROFILE

Examples:
  om config profiles
  om config profiles -o name")]
    Profiles,
}

pub(super) fn run(args: &ConfigArgs, session: &Session) -> Result<()> {
    match &args.action {
        Action::Show { origin } => show(session, *origin),
        Action::Get { name } => get(session, name),
        Action::Set { name, value } => set(session, name, value),
        Action::Unset { name } => unset(session, name),
        Action::Path => path(session),
        Action::Use { name } => choose(session, name),
        Action::Profiles => profiles(session),
    }
}

fn locations() -> Result<Locations> {
    Locations::of_machine(&Environment::capture())
}

fn show(session: &Session, origin: bool) -> Result<()> {
    let config = session.config()?;
    let origin_column = Column::new("ORIGIN");
    let origin_column = if origin {
        origin_column
    } else {
        origin_column.wide()
    };
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("VALUE").whole(),
        origin_column,
    ]);
    let profile = config.profile();
    let chosen = config
        .origin(profile.chosen_by())
        .map(ToString::to_string)
        .unwrap_or_default();
    table.push([
        Cell::from("kind"),
        profile.kind().into(),
        format!("{}: {chosen}", profile.chosen_by()).into(),
    ]);
    if let Some(name) = config.profile_name() {
        let file = config.locations().profiles_file().display().to_string();
        table.push([Cell::from("profile"), name.into(), file.into()]);
    }
    for setting in config.settings() {
        let value = setting.value.masked();
        table.push([
            Cell::from(setting.name),
            value.into(),
            setting.origin.to_string().into(),
        ]);
    }
    for path in config.files() {
        warn_if_others_can_read(session, path);
    }
    session.output.rows(&table)
}

/// Secrets in a file that everybody can read are none.
fn warn_if_others_can_read(session: &Session, path: &std::path::Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let config = match session.config() {
            Ok(config) => config,
            Err(_) => return,
        };
        let secret = config.settings().into_iter().any(|setting| {
            setting.origin == crate::config::Origin::File(path.to_owned())
                && setting.value.masked() != *setting.value.reveal()
        });
        let readable = std::fs::metadata(path)
            .is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0);
        if secret && readable {
            let path = path.display();
            session.output.note(format!(
                "{path} holds secrets and others can read it: chmod 600 {path}"
            ));
        }
    }
}

fn get(session: &Session, name: &str) -> Result<()> {
    let config = session.config()?;
    let setting = config
        .settings()
        .into_iter()
        .find(|setting| setting.name == name);
    match setting {
        Some(setting) => session.output.value(&setting.value.masked()),
        None if variables::find(name).is_some() => {
            Err(Error::not_found(format!("{name} is not set"))
                .hint(format!("set it with: om config set {name} VALUE")))
        }
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let names = variables::VARIABLES.iter().map(|variable| variable.name);
    let hint = match nearest(&name.to_uppercase(), names) {
        Some(near) => format!("did you mean `{near}`? see: om help environment"),
        None => "see: om help environment".to_owned(),
    };
    Error::not_found(format!("there is no setting {name}")).hint(hint)
}

/// Where `set` and `unset` write.
pub(super) enum Place {
    /// A configuration file.
    File(PathBuf),
    /// A profile of the user's.
    Profile(String),
}

/// Writes settings; where that is.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn write(place: &Place, settings: &[(&str, Value)]) -> Result<String> {
    match place {
        Place::File(path) => {
            for (name, value) in settings {
                edit::set(path, name, Some(value))?;
            }
            Ok(path.display().to_string())
        }
        Place::Profile(profile) => {
            let mut profiles = Profiles::read(&locations()?.profiles_file())?;
            for (name, value) in settings {
                profiles.set(profile, name, value.clone());
            }
            profiles.write()?;
            Ok(format!("profile {profile}"))
        }
    }
}

/// Removes a setting; whether it was there, and where that is.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn remove(place: &Place, name: &str) -> Result<(bool, String)> {
    Ok(match place {
        Place::File(path) => (edit::set(path, name, None)?, path.display().to_string()),
        Place::Profile(profile) => {
            let mut profiles = Profiles::read(&locations()?.profiles_file())?;
            let was = profiles.unset(profile, name)?;
            profiles.write()?;
            (was, format!("profile {profile}"))
        }
    })
}

/// Where the settings go that a command writes: into the profile or the file that is named,
/// else into the user's file.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when two places are named.
pub(super) fn place(session: &Session) -> Result<Place> {
    let locations = locations()?;
    match (&session.global.profile, &session.global.config) {
        (Some(_), Some(_)) => {
            Err(Error::usage("--profile and --config name two places").hint("give one of them"))
        }
        (Some(name), None) if name != NO_PROFILE => Ok(Place::Profile(name.clone())),
        (None, Some(name)) => {
            let found = locations.named_file(name, "--config");
            Ok(Place::File(
                found.unwrap_or_else(|_| locations.working.join(name)),
            ))
        }
        _ => Ok(Place::File(locations.user_file())),
    }
}

fn set(session: &Session, name: &str, value: &str) -> Result<()> {
    if !name.starts_with("OMEGA_") {
        return Err(unknown(name));
    }
    match variables::find(name) {
        Some(variable) if !variable.group.is_setting() => {
            return Err(
                Error::usage(format!("{name} is a variable of the environment only"))
                    .hint("see: om help environment"),
            );
        }
        None => session
            .output
            .note(format!("{name} is not a setting that om knows")),
        Some(_) => {}
    }
    let value = match value {
        "-" => {
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .context(|| "cannot read the value from stdin")?;
            Value::String(line.trim_end_matches(['\r', '\n']).to_owned())
        }
        text => typed(text),
    };
    if value == json!("") {
        return Err(Error::usage("the value is empty")
            .hint(format!("remove it with: om config unset {name}")));
    }
    let shown = SettingValue::new(name, value.clone());
    let path = write(&place(session)?, &[(name, value)])?;
    session.output.note(format!("{name} is {shown} in {path}"));
    Ok(())
}

/// JSON where it is a number, a truth value, a list or a mapping; else text.
fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::String(_) | Value::Null) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

fn unset(session: &Session, name: &str) -> Result<()> {
    let (was, path) = remove(&place(session)?, name)?;
    if !was {
        return Err(Error::not_found(format!("{name} is not set in {path}"))
            .hint("see where it comes from: om config show --origin"));
    }
    session
        .output
        .note(format!("{name} is removed from {path}"));
    Ok(())
}

fn path(session: &Session) -> Result<()> {
    let locations = locations()?;
    let named = session.global.config.clone();
    let named = named.or_else(|| {
        session
            .environment()
            .get("OMEGA_CONFIG_FILE")
            .map(str::to_owned)
    });
    let project = match named {
        Some(name) => Some(
            locations
                .named_file(&name, "--config")
                .unwrap_or_else(|_| locations.working.join(name)),
        ),
        None => locations.project_file(),
    };
    let files = [
        (
            "site",
            locations
                .site_file()
                .or_else(|| Some(locations.site.first()?.join("config.yml"))),
        ),
        ("user", Some(locations.user_file())),
        ("profiles", Some(locations.profiles_file())),
        ("project", project),
    ];
    let mut table = Table::new([
        Column::new("PATH"),
        Column::new("LAYER"),
        Column::new("EXISTS"),
    ]);
    for (layer, path) in files {
        if let Some(path) = path {
            let exists = path.is_file();
            let shown = Cell::shown(exists, if exists { "yes" } else { "no" });
            table.push([Cell::from(path.display().to_string()), layer.into(), shown]);
        }
    }
    session.output.rows(&table)
}

fn choose(session: &Session, name: &str) -> Result<()> {
    let mut profiles = Profiles::read(&locations()?.profiles_file())?;
    profiles.choose(name)?;
    profiles.write()?;
    session.output.note(match name {
        NO_PROFILE => "no profile is current".to_owned(),
        _ => format!("{name} is the current profile"),
    });
    if let Some(other) = session.environment().get("OM_PROFILE")
        && other != name
    {
        session.output.warn(format!(
            "OM_PROFILE={other} is stronger as long as it is set"
        ));
    }
    Ok(())
}

fn profiles(session: &Session) -> Result<()> {
    let locations = locations()?;
    let environment = session.environment();
    let profiles = Profiles::read(&locations.profiles_file())?;
    let chosen = session
        .global
        .profile
        .as_deref()
        .or_else(|| environment.get("OM_PROFILE"));
    let current = chosen.or(profiles.current()).unwrap_or(NO_PROFILE);
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("CURRENT"),
        Column::new("SETTINGS"),
    ])
    .listing();
    let mark = |name: &str| {
        let is = name == current;
        Cell::shown(is, if is { "*" } else { "" })
    };
    table.push([
        Cell::from(NO_PROFILE),
        mark(NO_PROFILE),
        Cell::shown(json!({}), ""),
    ]);
    for name in profiles.names() {
        let settings = Value::Object(profiles.settings(name)?);
        let masked = SettingValue::new(name, settings).masked();
        let names = masked
            .as_object()
            .map(|map| map.keys().cloned().collect::<Vec<_>>().join(" "));
        table.push([
            Cell::from(name),
            mark(name),
            Cell::shown(masked, names.unwrap_or_default()),
        ]);
    }
    session.output.rows(&table)
}
