#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::ErrorKind;
use std::path::Path;

/// An empty machine with a project folder in it.
struct Machine {
    root: tempfile::TempDir,
    variables: Vec<(String, String)>,
    options: Options,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["site", "user", "project/deep/er"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Machine {
            root,
            variables: Vec::new(),
            options: Options::default(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn load(&self) -> Result<Config> {
        let locations = Locations {
            working: self.path("project/deep/er"),
            site: vec![self.path("site")],
            user: self.path("user"),
            data: self.path("data"),
        };
        let environment = self.variables.iter().cloned().collect();
        Config::load_from(&locations, &environment, &self.options)
    }
}

/// One value at every layer: each step hides all steps before it.
#[test]
fn stronger_layers_hide_weaker_ones() {
    let mut machine = Machine::new();
    let mut seen = Vec::new();
    let bucket = |machine: &Machine| {
        let config = machine.load().unwrap();
        let origin = config
            .origin("OMEGA_BUCKET")
            .map(ToString::to_string)
            .unwrap_or_default();
        (config.bucket().to_owned(), origin)
    };
    machine.write(
        "user/profiles.yml",
        "profiles:\n  used: {OMEGA_BUCKET: used}\n  variable: {OMEGA_BUCKET: variable}\n  option: {OMEGA_BUCKET: option}\n",
    );
    seen.push(bucket(&machine));
    machine.write("site/config.yml", "OMEGA_BUCKET: site");
    seen.push(bucket(&machine));
    machine.write("user/config.yml", "OMEGA_BUCKET: user");
    seen.push(bucket(&machine));
    let profiles = machine.path("user/profiles.yml");
    let mut used = Profiles::read(&profiles).unwrap();
    used.choose("used").unwrap();
    used.write().unwrap();
    seen.push(bucket(&machine));
    machine.write("project/config.yml", "OMEGA_BUCKET: project");
    seen.push(bucket(&machine));
    machine.write("other.yml", "OMEGA_BUCKET: named by variable");
    let other = machine.path("other.yml").display().to_string();
    machine.variable("OMEGA_CONFIG_FILE", &other);
    seen.push(bucket(&machine));
    machine.write("another.yml", "OMEGA_BUCKET: named by option");
    machine.options.config = Some(machine.path("another.yml").display().to_string());
    seen.push(bucket(&machine));
    machine.variable("OM_PROFILE", "variable");
    seen.push(bucket(&machine));
    machine.variable("OMEGA_BUCKET", "environment");
    seen.push(bucket(&machine));
    machine.options.profile = Some("option".to_owned());
    seen.push(bucket(&machine));
    machine.options.bucket = Some("flag".to_owned());
    seen.push(bucket(&machine));
    let path = |name: &str| machine.path(name).display().to_string();
    let profile = |name: &str| format!("profile {name} in {}", profiles.display());
    let expected = [
        ("omegaml", String::new()),
        ("site", path("site/config.yml")),
        ("user", path("user/config.yml")),
        ("used", profile("used")),
        ("project", path("project/config.yml")),
        ("named by variable", path("other.yml")),
        ("named by option", path("another.yml")),
        ("variable", profile("variable")),
        ("environment", "environment OMEGA_BUCKET".to_owned()),
        ("option", profile("option")),
        ("flag", "option --bucket".to_owned()),
    ];
    assert_eq!(
        seen,
        expected.map(|(value, origin)| (value.to_owned(), origin))
    );
}

#[test]
fn the_nearest_file_upwards_counts() {
    let machine = Machine::new();
    machine.write("config.yml", "OMEGA_BUCKET: far");
    assert_eq!(machine.load().unwrap().bucket(), "far");
    machine.write("project/deep/config.yml", "OMEGA_BUCKET: near");
    assert_eq!(machine.load().unwrap().bucket(), "near");
}

#[test]
fn a_file_asked_for_by_name_is_searched() {
    let mut machine = Machine::new();
    machine.write("project/my.yml", "OMEGA_BUCKET: up");
    machine.write("user/their.yml", "OMEGA_BUCKET: user");
    for (name, bucket) in [("my.yml", "up"), ("their.yml", "user")] {
        machine.options.config = Some(name.to_owned());
        assert_eq!(machine.load().unwrap().bucket(), bucket);
    }
    machine.options.config = Some("none.yml".to_owned());
    assert_eq!(machine.load().unwrap_err().kind(), ErrorKind::NotFound);
    machine.options.config = Some("..".to_owned());
    assert_eq!(machine.load().unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn the_environment_can_be_shut_out() {
    for place in ["site/config.yml", "project/config.yml"] {
        let mut machine = Machine::new();
        machine.write(place, "OMEGA_ALLOW_ENV_CONFIG: false");
        machine.variable("OMEGA_BUCKET", "environment");
        assert_eq!(machine.load().unwrap().bucket(), "omegaml");
    }
    let mut machine = Machine::new();
    machine.variable("OMEGA_BUCKET", "environment");
    assert_eq!(machine.load().unwrap().bucket(), "environment");
    machine.variable("OMEGA_ALLOW_ENV_CONFIG", "no");
    assert_eq!(machine.load().unwrap().bucket(), "omegaml");
}

#[test]
fn the_strongest_of_the_three_urls_chooses_the_profile() {
    const REMOTE: &str = "OMEGA_RESTAPI_URL: https://hub\nOMEGA_USERID: u\nOMEGA_APIKEY: k\n";
    type Change = fn(&mut Machine);
    let cases: [(&str, Change); 9] = [
        ("embedded", |_| {}),
        ("cluster", |m| m.variable("MONGO_URL", "mongodb://u:p@db/x")),
        ("cluster", |m| {
            m.write("user/config.yml", "OMEGA_MONGO_URL: mongodb://u:p@db/x")
        }),
        ("remote", |m| m.write("user/config.yml", REMOTE)),
        ("embedded", |m| {
            m.write("user/config.yml", "OMEGA_RESTAPI_URL: https://hub")
        }),
        ("cluster", |m| {
            m.write("user/config.yml", REMOTE);
            m.write("project/config.yml", "OMEGA_MONGO_URL: mongodb://u:p@db/x");
        }),
        ("remote", |m| {
            m.write(
                "user/config.yml",
                &format!("{REMOTE}OMEGA_MONGO_URL: mongodb://db\n"),
            )
        }),
        ("embedded", |m| {
            m.write("user/config.yml", REMOTE);
            m.variable("OMEGA_STORE_URL", "file:///data");
        }),
        ("embedded", |m| {
            m.variable("OMEGA_MONGO_URL", "mongodb://u:p@db/x");
            m.options.store = Some("/data".to_owned());
        }),
    ];
    for (number, (kind, change)) in cases.into_iter().enumerate() {
        let mut machine = Machine::new();
        change(&mut machine);
        let config = machine.load().unwrap();
        assert_eq!(config.profile().kind(), kind, "case {number}");
        match config.storage() {
            StorageSettings::Directory(_) => assert_eq!(kind, "embedded"),
            StorageSettings::Mongo(mongo) => {
                assert_eq!(kind, "cluster");
                assert_eq!(mongo.url.to_string(), "mongodb://***@db/x");
            }
            StorageSettings::Remote(remote) => {
                assert_eq!(kind, "remote");
                assert_eq!(
                    (remote.url.reveal(), remote.user.as_str()),
                    ("https://hub", "u")
                );
                assert!(!format!("{remote:?}").contains("\"k\""));
            }
        }
    }
}

#[test]
fn the_default_store_is_in_the_data_directory() {
    let machine = Machine::new();
    let config = machine.load().unwrap();
    assert_eq!(
        config.storage(),
        StorageSettings::Directory(StoreUrl::from_directory(machine.path("data/store")))
    );
    assert_eq!(config.origin("OMEGA_STORE_URL"), Some(&Origin::Default));
}

#[test]
fn tasks_are_queued_where_objects_live() {
    let broker = |machine: &Machine| machine.load().unwrap().broker();
    let amqp = |machine: &Machine| match broker(machine).unwrap() {
        BrokerSettings::Amqp(settings) => settings,
        other => panic!("{other:?}"),
    };
    let mut machine = Machine::new();
    machine.variable("OMEGA_BROKER", "amqp://u:CANARY@mq//");
    machine.variable("OMEGA_STORE_URL", "file:///data");
    assert_eq!(
        broker(&machine).unwrap(),
        BrokerSettings::Directory(StoreUrl::from_directory("/data"))
    );
    let mut machine = Machine::new();
    machine.variable("OMEGA_MONGO_URL", "mongodb://db/x");
    let none = broker(&machine).unwrap_err();
    assert_eq!(none.kind(), crate::ErrorKind::Usage);
    assert_eq!(none.object(), Some("OMEGA_BROKER"));
    machine.variable("OMEGA_BROKER", "amqp://u:CANARY@mq//");
    machine.variable("OMEGA_USESSL", "1");
    machine.variable("CA_CERTS_PATH", "/etc/ca.pem");
    let expected = AmqpSettings {
        url: Url::new("amqp://u:CANARY@mq//"),
        tls: true,
        ca_file: Some("/etc/ca.pem".into()),
    };
    assert_eq!(amqp(&machine), expected);
    assert!(!format!("{expected:?}").contains("CANARY"));
    machine.write(
        "project/config.yml",
        "OMEGA_CELERY_CONFIG: {BROKER_URL: 'amqp://other//'}",
    );
    assert_eq!(amqp(&machine).url, Url::new("amqp://other//"));
    let mut machine = Machine::new();
    machine.variable("OMEGA_RESTAPI_URL", "https://om");
    machine.variable("OMEGA_USERID", "u");
    machine.variable("OMEGA_APIKEY", "CANARY");
    let error = broker(&machine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

#[test]
fn celery_settings_are_one_mapping() {
    let mut machine = Machine::new();
    machine.write(
        "project/config.yml",
        "OMEGA_CELERY_CONFIG: {CELERY_A: 1, CELERY_B: 1}",
    );
    machine.variable("OMEGA_CELERY_B", "two");
    machine.variable("OMEGA_CELERY_RESULT_SERIALIZER", "json");
    let config = machine.load().unwrap();
    assert_eq!(
        config.value("OMEGA_CELERY_CONFIG"),
        Some(
            &serde_json::json!({"CELERY_A": 1, "CELERY_B": "two", "CELERY_RESULT_SERIALIZER": "json"})
        )
    );
    assert_eq!(config.value("OMEGA_CELERY_B"), None);
}

#[test]
fn wrong_values_are_reported_with_their_origin() {
    let mut machine = Machine::new();
    machine.write("project/config.yml", "OMEGA_TASK_TIMEOUT: soon");
    let error = machine.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let text = error.to_string();
    assert!(
        text.contains("OMEGA_TASK_TIMEOUT") && text.contains("\"soon\""),
        "{text}"
    );
    assert!(text.contains("project/config.yml"), "{text}");
    machine.write("project/config.yml", "OMEGA_TASK_TIMEOUT: '60'");
    assert_eq!(
        machine.load().unwrap().task_timeout(),
        Duration::from_secs(60)
    );
    machine.variable("OMEGA_STORE_URL", "s3://bucket");
    let text = machine.load().unwrap_err().to_string();
    assert!(text.contains("environment OMEGA_STORE_URL"), "{text}");
}

#[test]
fn malformed_and_unreadable_files_are_reported() {
    let machine = Machine::new();
    machine.write("project/config.yml", "OMEGA_TMP: [\nx: y: z");
    let text = machine.load().unwrap_err().to_string();
    assert!(
        text.contains("project/config.yml") && text.contains("line 2"),
        "{text}"
    );
    let machine = Machine::new();
    std::fs::create_dir(machine.path("user/config.yml")).unwrap();
    assert!(
        machine
            .load()
            .unwrap_err()
            .to_string()
            .contains("is a directory")
    );
    // Upwards, a directory of that name has nothing to do with us.
    let machine = Machine::new();
    std::fs::create_dir(machine.path("project/config.yml")).unwrap();
    assert!(machine.load().is_ok());
    let machine = Machine::new();
    std::fs::write(machine.path("project/config.yml"), b"OMEGA_TMP: \xff").unwrap();
    assert!(machine.load().unwrap_err().to_string().contains("UTF-8"));
    for text in ["profiles: 1", "profiles: {a: 1}", "current: [x]"] {
        let machine = Machine::new();
        machine.write("user/profiles.yml", text);
        assert_eq!(
            machine.load().unwrap_err().kind(),
            ErrorKind::Invalid,
            "{text}"
        );
    }
}

#[test]
fn unknown_profiles_are_suggested() {
    let mut machine = Machine::new();
    machine.write(
        "user/profiles.yml",
        "profiles: {production: {OMEGA_BUCKET: p}, empty: }",
    );
    machine.options.profile = Some("prodution".to_owned());
    let error = machine.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint_text().unwrap().contains("`production`"));
    machine.options.profile = Some("empty".to_owned());
    assert_eq!(machine.load().unwrap().profile_name(), Some("empty"));
    machine.options.profile = Some(NO_PROFILE.to_owned());
    assert_eq!(machine.load().unwrap().profile_name(), None);
}

#[test]
fn profiles_are_changed_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub/profiles.yml");
    let mut profiles = Profiles::read(&path).unwrap();
    profiles.set("lab", "OMEGA_BUCKET", "b".into());
    profiles.set("lab", "OMEGA_TMP", "/t".into());
    profiles.choose("lab").unwrap();
    assert_eq!(
        profiles.choose("other").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    profiles.write().unwrap();
    let mut profiles = Profiles::read(&path).unwrap();
    assert_eq!(
        (profiles.current(), profiles.names().count()),
        (Some("lab"), 1)
    );
    assert!(profiles.unset("lab", "OMEGA_TMP").unwrap());
    assert!(!profiles.unset("lab", "OMEGA_TMP").unwrap());
    assert!(profiles.unset("lab", "OMEGA_BUCKET").unwrap());
    assert_eq!((profiles.current(), profiles.names().count()), (None, 0));
}

#[test]
fn secrets_never_show() {
    let mut machine = Machine::new();
    machine.write(
        "project/config.yml",
        "OMEGA_MONGO_URL: mongodb://u:CANARY@db/x\nOMEGA_APIKEY: CANARY\nOMEGA_BROKER: amqp://CANARY@mq//\n\
         OMEGA_CELERY_CONFIG: {BROKER_URL: 'amqp://u:CANARY@mq', security_key: {password: CANARY}}\n",
    );
    machine.variable("OMEGA_MY_TOKEN", "CANARY");
    let config = machine.load().unwrap();
    let mut text = format!("{config:?} {:?} {:?}", config.profile(), config.storage());
    for setting in config.settings() {
        text.push_str(&format!(
            "{setting:?} {} {:?}",
            setting.value, setting.value
        ));
    }
    assert!(!text.contains("CANARY"), "{text}");
    assert_eq!(config.text("OMEGA_APIKEY").as_deref(), Some("CANARY"));
}

/// What the cluster's settings amount to, in the words that Python writes.
#[test]
fn a_cluster_has_its_own_settings() {
    let mut machine = Machine::new();
    machine.write("project/config.yml", "OMEGA_MONGO_URL: mongodb://db/x");
    let mongo = |machine: &Machine| match machine.load().unwrap().storage() {
        StorageSettings::Mongo(mongo) => mongo,
        other => panic!("{other:?}"),
    };
    let defaults = MongoSettings {
        url: Url::new("mongodb://db/x"),
        tls: false,
        ca_file: None,
        timeout: Duration::from_millis(2500),
        legacy_buckets: false,
        default_bucket: "omegaml".to_owned(),
    };
    assert_eq!(mongo(&machine), defaults);
    machine.write(
        "project/config.yml",
        "OMEGA_MONGO_URL: mongodb://db/x\nOMEGA_USESSL: True\nOMEGA_MONGO_TIMEOUT: 100\n\
         OMEGA_MONGO_COLLECTION: mine\nOMEGA_BUCKET_FS_LEGACY: 'yes'\n",
    );
    machine.variable("CA_CERTS_PATH", "/etc/ca.pem");
    let expected = MongoSettings {
        tls: true,
        ca_file: Some("/etc/ca.pem".into()),
        timeout: Duration::from_millis(100),
        legacy_buckets: true,
        default_bucket: "mine".to_owned(),
        ..defaults.clone()
    };
    assert_eq!(mongo(&machine), expected);
    let config = machine.load().unwrap();
    assert_eq!(config.bucket(), "mine");
    let shown = |name| config.settings().iter().any(|setting| setting.name == name);
    assert!(shown("CA_CERTS_PATH") && shown("OMEGA_BUCKET_FS_LEGACY"));
    assert_eq!(
        config.origin("CA_CERTS_PATH"),
        Some(&Origin::Environment("CA_CERTS_PATH".to_owned()))
    );
    for (name, value) in [("OMEGA_USESSL", "False"), ("OMEGA_BUCKET_FS_LEGACY", "0")] {
        machine.variable(name, value);
    }
    let mongo = mongo(&machine);
    assert!(!mongo.tls && !mongo.legacy_buckets);
    let limit = Duration::from_millis(30);
    match machine.load().unwrap().in_a_hurry(limit).storage() {
        StorageSettings::Mongo(mongo) => assert_eq!(mongo.timeout, limit),
        other => panic!("{other:?}"),
    }
}

/// The name of a cluster's default bucket is nobody else's business.
#[test]
fn default_is_the_default_bucket() {
    let mut machine = Machine::new();
    machine.write("project/config.yml", "OMEGA_MONGO_COLLECTION: mine");
    machine.variable("OMEGA_BUCKET", "default");
    assert_eq!(machine.load().unwrap().bucket(), "omegaml");
    machine.variable("OMEGA_MONGO_URL", "mongodb://db/x");
    assert_eq!(machine.load().unwrap().bucket(), "mine");
}

#[test]
fn omegaml_s_own_file_works_unchanged() {
    let machine = Machine::new();
    machine.write(
        "project/config.yml",
        "OMEGA_MONGO_URL: mongodb://user:pw@db.example.com:27017/omega\n\
         OMEGA_BROKER: amqp://user:pw@mq.example.com:5672//\n\
         OMEGA_CELERY_CONFIG:\n  CELERY_RESULT_SERIALIZER: json\n\
         OMEGA_USER_EXTENSIONS:\n  OMEGA_STORE_BACKENDS:\n    my.kind: mypackage.backends.MyBackend\n\
         something: else\n",
    );
    let config = machine.load().unwrap();
    let Profile::Cluster { mongo, broker } = config.profile() else {
        panic!("not a cluster")
    };
    assert_eq!(
        mongo.reveal(),
        "mongodb://user:pw@db.example.com:27017/omega"
    );
    assert_eq!(
        broker.as_ref().map(Url::reveal),
        Some("amqp://user:pw@mq.example.com:5672//")
    );
    let extensions = config.value("OMEGA_USER_EXTENSIONS").unwrap();
    assert_eq!(
        extensions["OMEGA_STORE_BACKENDS"]["my.kind"],
        "mypackage.backends.MyBackend"
    );
    assert_eq!(config.value("something"), None);
    assert_eq!(config.files(), [machine.path("project/config.yml")]);
    assert!(Path::new(&config.files()[0]).is_absolute());
}
