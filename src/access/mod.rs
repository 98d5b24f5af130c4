//! Who may do what with which objects. Enforced where objects are read and written
//! ([`guarded`]) and where tasks are run, so that no way around it leads through a server's
//! routes. Users and their keys are kept beside the objects ([`Book`]).

mod book;
mod guard;

pub use book::{Book, KeyInfo, NewKey, User, refused};
pub use guard::guarded;

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{Input, TaskCall};
use crate::storage::Key;
use crate::store::PREFIXES;
use std::fmt;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Look at objects.
    Read,
    /// Look at objects, and run them: predictions, jobs, scripts.
    Run,
    /// Look at objects and change them.
    Write,
    /// Everything.
    Admin,
}

impl Role {
    const ALL: [(&'static str, Role); 4] = [
        ("read", Role::Read),
        ("run", Role::Run),
        ("write", Role::Write),
        ("admin", Role::Admin),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, role)| *role == self);
        found.map_or("read", |(name, _)| name)
    }

    /// Whether it covers `wanted`.
    fn covers(self, wanted: Role) -> bool {
        self == Role::Admin || self == wanted || (wanted == Role::Read)
    }
}

/// A role for all objects, or for those of one bucket, one store, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// In which bucket; none for all.
    pub bucket: Option<String>,
    /// In which store, `datasets` and the like; none for all.
    pub store: Option<String>,
}

impl Grant {
    /// Reads `read`, `write:bucket`, `run:bucket/models`, `read:*/datasets`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let (role, place) = text.split_once(':').unwrap_or((text, "*"));
        let known = Role::ALL.iter().find(|(name, _)| *name == role);
        let Some((_, role)) = known else {
            return Err(Error::usage(format!("`{role}` is no role")).hint(
                "one of read, run, write, admin; for a part of the objects: \
                       write:BUCKET, run:BUCKET/models",
            ));
        };
        let (bucket, store) = place.split_once('/').unwrap_or((place, "*"));
        let some = |text: &str| (text != "*" && !text.is_empty()).then(|| text.to_owned());
        let store = some(store);
        if let Some(store) = &store
            && !PREFIXES.iter().any(|(noun, _)| noun == store)
        {
            let nouns: Vec<&str> = PREFIXES.iter().map(|(noun, _)| *noun).collect();
            return Err(Error::usage(format!("`{store}` is no store"))
                .hint(format!("one of {}", nouns.join(", "))));
        }
        Ok(Grant {
            role: *role,
            bucket: some(bucket),
            store,
        })
    }

    fn covers(&self, role: Role, bucket: &str, prefix: &str) -> bool {
        let noun = PREFIXES.iter().find(|(_, known)| *known == prefix);
        let noun = noun.map_or(prefix, |(noun, _)| noun);
        self.role.covers(role)
            && self
                .bucket
                .as_deref()
                .is_none_or(|granted| granted == bucket)
            && self.store.as_deref().is_none_or(|granted| granted == noun)
    }
}

/// As [`Grant::parse`] reads it.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.name())?;
        match (&self.bucket, &self.store) {
            (None, None) => Ok(()),
            (bucket, None) => write!(f, ":{}", bucket.as_deref().unwrap_or("*")),
            (bucket, Some(store)) => {
                write!(f, ":{}/{store}", bucket.as_deref().unwrap_or("*"))
            }
        }
    }
}

/// What one user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(Option<(String, Vec<Grant>)>);

impl Rights {
    /// Everything: for whoever has the storage itself.
    pub fn all() -> Self {
        Rights(None)
    }

    /// What `user` was granted.
    pub fn of(user: &str, grants: Vec<Grant>) -> Self {
        Rights(Some((user.to_owned(), grants)))
    }

    /// Whether there is no limit.
    pub fn are_unlimited(&self) -> bool {
        self.0.is_none()
    }

    /// The user; none where nobody was asked.
    pub fn user(&self) -> Option<&str> {
        self.0.as_ref().map(|(user, _)| user.as_str())
    }

    /// Whether `role` is granted for the objects of a store.
    pub fn allow(&self, role: Role, bucket: &str, prefix: &str) -> bool {
        self.0.as_ref().is_none_or(|(_, grants)| {
            grants
                .iter()
                .any(|grant| grant.covers(role, bucket, prefix))
        })
    }

    /// # Errors
    /// [`ErrorKind::Unauthorized`] unless `role` is granted for the object.
    pub fn check(&self, role: Role, key: &Key) -> Result<()> {
        if self.allow(role, &key.bucket, &key.prefix) {
            return Ok(());
        }
        let user = self.user().unwrap_or_default();
        let object = key.to_string();
        Err(Error::new(
            ErrorKind::Unauthorized,
            format!("{user} may not {} {object}", role.name()),
        )
        .on(object))
    }

    /// # Errors
    /// [`ErrorKind::Unauthorized`] unless the user may run `call` in `bucket`, and change
    /// what it changes.
    pub fn check_run(&self, call: &TaskCall, bucket: &str) -> Result<()> {
        if self.are_unlimited() {
            return Ok(());
        }
        let (prefix, name) = match call {
            TaskCall::Model(model) => ("models/", model.model.as_str()),
            TaskCall::Special { .. } | TaskCall::Other { .. } => ("models/", ""),
            TaskCall::RunJob(job) => ("jobs/", job.name.as_str()),
            TaskCall::ScheduleJob { name, .. } => ("jobs/", name.as_str()),
            TaskCall::RunScript { name, .. } | TaskCall::Callback { name, .. } => {
                ("scripts/", name.as_str())
            }
            TaskCall::Ping { .. } => return Ok(()),
            _ => return self.check(Role::Admin, &Key::new(bucket, "models/", "")),
        };
        let key = Key::new(bucket, prefix, name);
        self.check(Role::Run, &key)?;
        if let TaskCall::Model(model) = call {
            // Without data of their own, models take what they were trained on.
            let inline = |input: &Option<Input>| matches!(input, Some(Input::Inline(_)));
            let named = !inline(&model.x) || (model.y.is_some() && !inline(&model.y));
            if named {
                self.check(Role::Read, &Key::new(bucket, "data/", ""))?;
            }
        }
        if let TaskCall::Model(model) = call
            && !call.is_pure()
        {
            self.check(Role::Write, &key)?;
            if let Some(result) = &model.result {
                self.check(Role::Write, &Key::new(bucket, "data/", result))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::{Action, ModelCall};
    use proptest::prelude::*;

    #[test]
    fn grants_cover_what_they_say() {
        let rights = |texts: &[&str]| {
            let grants = texts.iter().map(|text| Grant::parse(text).unwrap());
            Rights::of("eva", grants.collect())
        };
        let only = rights(&["run:lab/models"]);
        let mut stored = ModelCall::new("m", Action::Predict);
        assert!(
            only.check_run(&TaskCall::Model(stored.clone()), "lab")
                .is_err()
        );
        stored.x = Some(Input::Inline(serde_json::json!([[1]])));
        assert!(only.check_run(&TaskCall::Model(stored), "lab").is_ok());
        let some = rights(&["read", "write:lab/datasets", "run:lab/models"]);
        assert!(some.allow(Role::Read, "omegaml", "jobs/"));
        assert!(some.allow(Role::Write, "lab", "data/"));
        assert!(!some.allow(Role::Write, "lab", "models/"));
        assert!(!some.allow(Role::Write, "omegaml", "data/"));
        let call = |action| TaskCall::Model(ModelCall::new("m", action));
        assert!(some.check_run(&call(Action::Predict), "lab").is_ok());
        assert!(some.check_run(&call(Action::Fit), "lab").is_err());
        assert!(some.check_run(&call(Action::Predict), "omegaml").is_err());
        assert!(rights(&["admin"]).allow(Role::Write, "x", "data/"));
        assert!(!rights(&[]).allow(Role::Read, "x", "data/"));
        assert!(Rights::all().allow(Role::Admin, "x", "data/"));
    }

    proptest! {
        #[test]
        fn grants_read_back(role in 0_usize..4, bucket in prop::option::of("[a-z]{1,8}"), store in prop::option::of(0_usize..5)) {
            let grant = Grant {
                role: Role::ALL[role].1,
                bucket,
                store: store.map(|at| PREFIXES[at].0.to_owned()),
            };
            prop_assert_eq!(Grant::parse(&grant.to_string()).unwrap(), grant);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}") {
            let _ = Grant::parse(&text);
        }
    }
}
