//! Finds the layers of settings on this machine and brings them into their order.

use super::layers::{Layer, Origin};
use super::variables::{self, Environment};
use super::{Locations, NO_PROFILE, Options, Profiles, StoreUrl, file, is_true};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// What was found.
pub(super) struct Sources {
    /// The layers, the weakest first.
    pub layers: Vec<Layer>,
    /// The name of the profile in use.
    pub profile_name: Option<String>,
    /// The configuration files that were read, the weakest first.
    pub files: Vec<PathBuf>,
}

/// Reads the layers in the order that `config`'s documentation gives.
pub(super) fn collect(
    locations: &Locations,
    environment: &Environment,
    options: &Options,
) -> Result<Sources> {
    if let Some(name) = environment.unreadable().first() {
        return Err(Error::usage("the environment variable is not UTF-8 text").on(name.clone()));
    }
    let qualifier = environment.get("OMEGA_QUALIFIER");
    let mut files = Vec::new();
    let mut from_file = |path: PathBuf| -> Result<Layer> {
        tracing::debug!(file = %path.display(), "reading settings");
        let document = file::parse(&file::read(&path)?, &path)?;
        let settings = file::settings(document, qualifier, &path)?;
        let layer = Layer::of(settings, &Origin::File(path.clone()));
        files.push(path);
        Ok(layer)
    };
    let site = locations
        .site_file()
        .map(&mut from_file)
        .transpose()?
        .unwrap_or_default();
    let user = locations.user_file();
    let user = if user.exists() {
        from_file(user)?
    } else {
        Layer::default()
    };
    let project = match (&options.config, environment.get("OMEGA_CONFIG_FILE")) {
        (Some(name), _) => Some(locations.named_file(name, "--config")?),
        // The default name asks for nothing.
        (None, Some("config.yml")) | (None, None) => locations.project_file(),
        (None, Some(name)) => Some(locations.named_file(name, "OMEGA_CONFIG_FILE")?),
    };
    let project = project.filter(|path| *path != locations.user_file());
    let project = project.map(&mut from_file).transpose()?.unwrap_or_default();

    let profiles = Profiles::read(&locations.profiles_file())?;
    let chosen_by_option = options.profile.as_deref();
    let chosen_by_variable = environment
        .get("OM_PROFILE")
        .filter(|_| chosen_by_option.is_none());
    let chosen = chosen_by_option.or(chosen_by_variable);
    let name = chosen
        .or(profiles.current())
        .filter(|name| *name != NO_PROFILE);
    let profile = match name {
        Some(name) => {
            let origin = Origin::Profile(name.to_owned(), profiles.path().to_owned());
            Layer::of(profiles.settings(name)?, &origin)
        }
        None => Layer::default(),
    };
    let place = |here: bool| {
        if here {
            profile.clone()
        } else {
            Layer::default()
        }
    };
    let by_use = place(chosen.is_none());
    let by_variable = place(chosen_by_variable.is_some());
    let by_option = place(chosen_by_option.is_some());

    let allowed = |layer: &Layer| layer.get("OMEGA_ALLOW_ENV_CONFIG").is_none_or(is_true);
    let from_environment = environment_layer(environment);
    let allowed = [&site, &user, &project, &profile, &from_environment]
        .into_iter()
        .all(allowed);
    let variables = if allowed {
        from_environment
    } else {
        Layer::default()
    };
    let layers = vec![
        defaults(locations, environment),
        site,
        user,
        by_use,
        project,
        by_variable,
        variables,
        by_option,
        option_layer(options),
    ];
    Ok(Sources {
        layers,
        profile_name: name.map(str::to_owned),
        files,
    })
}

fn defaults(locations: &Locations, environment: &Environment) -> Layer {
    let mut layer = Layer::default();
    for variable in variables::VARIABLES
        .iter()
        .filter(|variable| variable.group.is_setting())
    {
        if let Some(value) = variable.default {
            layer.set(variable.name, value.into(), Origin::Default);
        }
    }
    for (alias, setting) in variables::ALIASES {
        if let Some(value) = environment.get(alias) {
            layer.set(
                setting,
                value.into(),
                Origin::Environment((*alias).to_owned()),
            );
        }
    }
    for name in variables::SHOWN {
        if let Some(value) = environment.get(name) {
            let origin = Origin::Environment((*name).to_owned());
            layer.set(name, value.into(), origin);
        }
    }
    if layer.get("OMEGA_MONGO_URL").is_none() {
        let url = StoreUrl::from_directory(locations.default_store()).to_string();
        layer.set("OMEGA_STORE_URL", url.into(), Origin::Default);
    }
    layer
}

fn environment_layer(environment: &Environment) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in environment.settings() {
        let origin = Origin::Environment(name.to_owned());
        match name.strip_prefix("OMEGA_CELERY_") {
            Some("CONFIG") => {
                let parsed = serde_json::from_str(value).ok().filter(Value::is_object);
                layer.set(name, parsed.unwrap_or_else(|| value.into()), origin);
            }
            Some(_) if variables::find(name).is_none() => {
                let key = name.trim_start_matches("OMEGA_").to_owned();
                let entry = Map::from_iter([(key, Value::from(value))]);
                layer.set("OMEGA_CELERY_CONFIG", Value::Object(entry), origin);
            }
            _ => layer.set(name, value.into(), origin),
        }
    }
    layer
}

fn option_layer(options: &Options) -> Layer {
    let mut layer = Layer::default();
    let texts = [
        ("OMEGA_BUCKET", &options.bucket, "--bucket"),
        ("OMEGA_STORE_URL", &options.store, "--store"),
        ("OMEGA_LOGLEVEL", &options.loglevel, "--loglevel"),
    ];
    for (name, value, flag) in texts {
        if let Some(value) = value {
            layer.set(name, value.as_str().into(), Origin::Flag(flag));
        }
    }
    if options.local_runtime {
        layer.set(
            "OMEGA_LOCAL_RUNTIME",
            true.into(),
            Origin::Flag("--local-runtime"),
        );
    }
    layer
}
