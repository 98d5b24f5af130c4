//! Users and their keys, as records beside the objects. Of a key only a digest is kept:
//! keys are 256 random bits, so that one pass of SHA-256 is enough.

use super::{Grant, Rights};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;
use crate::storage::records::{Alteration, Change, Record, Records, When};
use bson::{Bson, Document, doc};
use rand::RngCore;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The space of the records.
pub const SPACE: &str = "access";
/// How keys begin, so that scanners for leaked secrets know them.
const START: &str = "om_";
const USER: &str = "user";
const KEY: &str = "key";
const REVOKED: &str = "revoked";
/// Users and keys that are listed.
const MOST: u64 = 100_000;

/// The users and keys of one storage.
pub struct Book(Box<dyn Records>);

/// Somebody who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What he may do.
    pub grants: Vec<Grant>,
}

/// What is known of a key: all but the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// By which it is revoked.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// When it was made, in milliseconds since 1970 in UTC.
    pub created: i64,
    /// Whether it counts no longer.
    pub revoked: bool,
}

/// A key that was just made: the only time that it is known.
pub struct NewKey {
    /// By which it is revoked.
    pub id: String,
    /// What clients send.
    pub secret: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Book {
    /// The book of `storage`.
    pub fn of(storage: &dyn Storage) -> Self {
        Book(storage.records(SPACE))
    }

    /// Whether there is anybody in it.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.0.list(&[When::states(&[USER])], 1)?.is_empty())
    }

    /// Adds a user, or gives one that is there other grants.
    pub fn set_user(&self, user: &User) -> Result<()> {
        let name = &user.name;
        if name.is_empty()
            || name.len() > 200
            || name.contains([':', '/'])
            || name.contains(char::is_control)
        {
            return Err(
                Error::usage(format!("`{name}` cannot be the name of a user"))
                    .hint("at most 200 characters, without `:` and `/`"),
            );
        }
        let grants: Vec<Bson> = user.grants.iter().map(|g| g.to_string().into()).collect();
        let mut record = Record::new(&user_id(name), USER);
        record.body = doc! { "grants": grants.clone() };
        if self.0.insert(&[record])?.is_empty() {
            return Ok(());
        }
        self.0.change(&[Alteration {
            id: user_id(name),
            conditions: Vec::new(),
            change: Change {
                set: vec![("grants".to_owned(), Bson::Array(grants))],
                ..Change::default()
            },
        }])?;
        Ok(())
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<User>> {
        let records = self.0.list(&[When::states(&[USER])], MOST)?;
        let mut users = records.iter().map(user).collect::<Result<Vec<_>>>()?;
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// The user called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn user(&self, name: &str) -> Result<User> {
        match self.0.get(&user_id(name))? {
            Some(record) => user(&record),
            None => Err(Error::not_found(format!("there is no user `{name}`"))
                .hint("list them: om server users list")),
        }
    }

    /// Removes a user with all keys.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn remove_user(&self, name: &str) -> Result<()> {
        self.user(name)?;
        // The user last: keys of nobody open nothing.
        let keys = self.keys()?;
        let ids = keys.iter().filter(|key| key.user == name);
        let mut ids: Vec<String> = ids.map(|key| key_id(&key.id)).collect();
        ids.push(user_id(name));
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.0.remove(&ids)?;
        Ok(())
    }

    /// Makes a key for a user.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn new_key(&self, user: &str) -> Result<NewKey> {
        self.user(user)?;
        let mut random = [0_u8; 40];
        rand::rngs::OsRng.fill_bytes(&mut random);
        let (id, secret) = random.split_at(8);
        let id = hex::encode(id);
        let secret = format!("{START}{id}_{}", hex::encode(secret));
        let mut record = Record::new(&key_id(&id), KEY);
        record.body = doc! { "user": user, "digest": digest(&secret) };
        self.0.insert(&[record])?;
        Ok(NewKey { id, secret })
    }

    /// All keys, the newest first.
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        let records = self.0.list(&[When::states(&[KEY, REVOKED])], MOST)?;
        let info = |record: Record| KeyInfo {
            id: record
                .id
                .strip_prefix("key:")
                .unwrap_or_default()
                .to_owned(),
            user: record.body.get_str("user").unwrap_or_default().to_owned(),
            created: record.created,
            revoked: record.state == REVOKED,
        };
        Ok(records.into_iter().map(info).collect())
    }

    /// Makes a key count no longer, from the next request on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn revoke_key(&self, id: &str) -> Result<()> {
        let changed = self.0.change(&[Alteration {
            id: key_id(id),
            conditions: Vec::new(),
            change: Change {
                state: Some(REVOKED.to_owned()),
                ..Change::default()
            },
        }])?;
        match changed.is_empty() {
            false => Ok(()),
            true => Err(Error::not_found(format!("there is no key `{id}`"))
                .hint("list them: om server keys list")),
        }
    }

    /// What the holder of `secret` may do, who says to be `user` where that is given.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], the same whatever is wrong.
    pub fn rights(&self, user: Option<&str>, secret: &str) -> Result<Rights> {
        let record = match secret
            .strip_prefix(START)
            .and_then(|rest| rest.split_once('_'))
        {
            Some((id, _)) if id.len() <= 64 => self.0.get(&key_id(id))?,
            _ => None,
        };
        // What is compared takes as long when there is no such key.
        let none = Document::new();
        let body = record.as_ref().map_or(&none, |record| &record.body);
        let kept = body.get_str("digest").unwrap_or_default();
        let given = digest(secret);
        let same: bool = given.as_bytes().ct_eq(kept.as_bytes()).into();
        let owner = body.get_str("user").unwrap_or_default();
        let valid = record.as_ref().is_some_and(|record| record.state == KEY);
        if !(same && valid && user.is_none_or(|user| user == owner)) {
            return Err(refused());
        }
        self.granted(owner)
    }

    /// What a user may do who has proved to be the one.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`] if there is no such user.
    pub fn granted(&self, name: &str) -> Result<Rights> {
        match self.0.get(&user_id(name))? {
            Some(record) => Ok(Rights::of(name, user(&record)?.grants)),
            None => Err(refused()),
        }
    }
}

/// What is said whatever is wrong with credentials.
pub fn refused() -> Error {
    Error::new(ErrorKind::Unauthorized, "these credentials open nothing")
}

fn user(record: &Record) -> Result<User> {
    let grants = record.body.get_array("grants").cloned().unwrap_or_default();
    let grants = grants.iter().filter_map(Bson::as_str).map(Grant::parse);
    Ok(User {
        name: record
            .id
            .strip_prefix("user:")
            .unwrap_or_default()
            .to_owned(),
        grants: grants.collect::<Result<_>>()?,
    })
}

fn user_id(name: &str) -> String {
    format!("user:{name}")
}

fn key_id(id: &str) -> String {
    format!("key:{id}")
}

fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::storage::embedded::{EmbeddedStorage, Options};

    #[test]
    fn keys_open_what_their_user_was_granted_until_they_are_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let storage = EmbeddedStorage::open(directory.path(), Options::default()).unwrap();
        let book = Book::of(&storage);
        assert!(book.is_empty().unwrap());
        assert!(book.new_key("eva").is_err());
        let eva = |grant: &str| User {
            name: "eva".into(),
            grants: vec![Grant::parse(grant).unwrap()],
        };
        book.set_user(&eva("read")).unwrap();
        let key = book.new_key("eva").unwrap();
        assert!(!format!("{key:?}").contains(&key.secret));
        let rights = book.rights(Some("eva"), &key.secret).unwrap();
        assert!(rights.allow(Role::Read, "b", "data/") && !rights.allow(Role::Write, "b", "data/"));
        book.set_user(&eva("write")).unwrap();
        assert!(
            book.rights(None, &key.secret)
                .unwrap()
                .allow(Role::Write, "b", "data/")
        );
        for (user, secret) in [
            (Some("adam"), key.secret.as_str()),
            (None, "om_"),
            (None, ""),
            (None, &key.secret[..key.secret.len() - 1]),
            (None, &format!("{}0", key.secret)),
        ] {
            let error = book.rights(user, secret).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
        }
        let raw = format!("{:?}", Book::of(&storage).0.list(&[], 10).unwrap());
        assert!(!raw.contains(&key.secret), "the key itself is kept nowhere");
        book.revoke_key(&key.id).unwrap();
        assert!(book.rights(None, &key.secret).is_err());
        let other = book.new_key("eva").unwrap();
        book.remove_user("eva").unwrap();
        assert!(book.rights(None, &other.secret).is_err());
        assert!(book.keys().unwrap().is_empty());
    }
}
