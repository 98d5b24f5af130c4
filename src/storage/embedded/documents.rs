//! Documents: written to memory or, when they are many, to a spool file until the
//! commit; read from one state of the database, each proved against its checksum.

use super::contents::grow;
use super::database::{Database, Sql};
use super::layout::Layout;
use super::objects::{seal, unseal};
use super::reading::current;
use super::staging::StagedFile;
use crate::error::{Context, Error, Result};
use crate::progress::Progress;
use crate::storage::Metadata;
use crate::storage::crash;
use crate::storage::refusal::ContentKind;
use bson::oid::ObjectId;
use bson::{Bson, Document};
use rusqlite::{Connection, params};
use std::collections::VecDeque;
use std::io::{BufReader, Cursor, Read};

/// Bytes of documents that are kept in memory before they are spooled.
const SPOOL_ABOVE: usize = 4 * 1024 * 1024;

/// Bytes of documents that are many for one transaction.
const MANY: u64 = 1024 * 1024;

/// Documents that are read at once.
const BATCH: i64 = 256;

/// Documents that wait for the commit, one BSON after the other.
pub(super) struct DocumentsWriter {
    layout: Layout,
    memory: Vec<u8>,
    spool: Option<StagedFile>,
    count: u64,
    bytes: u64,
    last: Option<ObjectId>,
}

impl DocumentsWriter {
    pub fn new(layout: &Layout) -> Self {
        DocumentsWriter {
            layout: layout.clone(),
            memory: Vec::new(),
            spool: None,
            count: 0,
            bytes: 0,
            last: None,
        }
    }

    /// Adds a document; it gets an `_id` in front if it has none.
    pub fn push(&mut self, mut document: Document) -> Result<()> {
        if !document.contains_key("_id") {
            let mut identified = Document::new();
            identified.insert("_id", ObjectId::new());
            identified.extend(document);
            document = identified;
        }
        self.last = document.get("_id").and_then(Bson::as_object_id);
        let before = self.memory.len();
        document
            .to_writer(&mut self.memory)
            .context(|| "the document cannot be stored")?;
        self.count += 1;
        self.bytes += (self.memory.len() - before) as u64;
        if self.memory.len() > SPOOL_ABOVE {
            let spool = match &mut self.spool {
                Some(spool) => spool,
                spool => spool.insert(StagedFile::create(&self.layout, "spool")?),
            };
            spool.append(&self.memory)?;
            self.memory.clear();
        }
        Ok(())
    }

    /// Whether the transaction that inserts them will be a large one.
    pub fn are_many(&self) -> bool {
        self.bytes > MANY
    }

    /// The `_id` of the last document, if it is an ObjectId.
    pub fn last(&self) -> Option<ObjectId> {
        self.last
    }

    /// Inserts all documents at the end of a content.
    pub fn insert(
        &mut self,
        connection: &Connection,
        content: &str,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut insert = connection
            .prepare_cached("INSERT INTO documents (content, doc, checksum) VALUES (?1, ?2, ?3)")
            .sql("write to")?;
        let mut spooled = match &mut self.spool {
            Some(spool) => Some(BufReader::new(spool.reread()?)),
            None => None,
        };
        let mut memory = Cursor::new(&self.memory);
        for number in 0..self.count {
            if number % 1024 == 0 {
                crash::point();
                progress.check()?;
            }
            let doc = match &mut spooled {
                Some(file) => match next(file)? {
                    Some(doc) => Some(doc),
                    None => {
                        spooled = None;
                        next(&mut memory)?
                    }
                },
                None => next(&mut memory)?,
            };
            let doc = doc.ok_or_else(|| Error::failed("the spooled documents are incomplete"))?;
            insert
                .execute(params![content, doc, seal(&doc, content)])
                .sql("write to")?;
        }
        grow(connection, content, self.count, self.bytes)
    }
}

/// The next BSON document of a stream; none at its end.
fn next(stream: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let spool = || "cannot read the spooled documents";
    if stream.read(&mut length[..1]).context(spool)? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).context(spool)?;
    let rest = u64::from(u32::from_le_bytes(length)).saturating_sub(4);
    let mut doc = length.to_vec();
    stream.take(rest).read_to_end(&mut doc).context(spool)?;
    Ok(Some(doc))
}

/// The documents of an object as they are now, whatever is written meanwhile.
pub(super) struct Documents {
    connection: Connection,
    key: String,
    content: String,
    /// How many are still to come.
    left: u64,
    after: i64,
    batch: VecDeque<Result<Document>>,
}

impl Documents {
    pub fn open(database: &Database, metadata: &Metadata) -> Result<Self> {
        let key = metadata.key.to_string();
        let Some(connection) = database.reader()? else {
            return Err(Error::not_found(format!("{key} does not exist")).on(key));
        };
        connection
            .execute_batch("BEGIN")
            .map_err(|error| database.explain(error, "read"))?;
        let content = current(&connection, metadata, ContentKind::Documents)?;
        Ok(Documents {
            connection,
            key,
            content: content.id,
            left: content.count,
            after: i64::MIN,
            batch: VecDeque::new(),
        })
    }

    fn fill(&mut self) -> Result<()> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, doc, checksum FROM documents
                 WHERE content = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )
            .sql("read")?;
        let mut rows = statement
            .query(params![self.content, self.after, BATCH])
            .sql("read")?;
        while let Some(row) = rows.next().sql("read")? {
            self.after = row.get(0).sql("read")?;
            let document = unseal(
                row.get_ref(1).sql("read")?.as_blob().unwrap_or_default(),
                &self.content,
                row.get_ref(2).sql("read")?.as_blob().unwrap_or_default(),
            );
            self.batch
                .push_back(document.map_err(|error| error.on(self.key.clone())));
        }
        Ok(())
    }
}

impl Iterator for Documents {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Result<Document>> {
        if self.left == 0 {
            return None;
        }
        if self.batch.is_empty()
            && let Err(error) = self.fill()
        {
            self.left = 0;
            return Some(Err(error.on(self.key.clone())));
        }
        match self.batch.pop_front() {
            Some(document) => {
                self.left -= 1;
                Some(document)
            }
            None => {
                let missing = std::mem::take(&mut self.left);
                let key = self.key.clone();
                Some(Err(Error::corrupt(format!(
                    "{key} is damaged: {missing} documents are missing"
                ))
                .on(key)
                .hint(
                    "`om store check` lists what is damaged; store the object again",
                )))
            }
        }
    }
}
