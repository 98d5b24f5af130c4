//! Kinds that only Python opens: `om` lists them, shows their metadata, gets them as
//! files, copies and drops them, and never looks inside.

use super::{Both, bytes};
use bson::{Document, doc};
use omega::Omega;
use omega::store::{Listing, Store};

/// The store, the name and the kind.
const OBJECTS: [(&str, &str, &str); 5] = [
    ("models", "experiments/exp", "experiment.tracker"),
    ("datasets", "hdf", "pandas.hdf"),
    ("datasets", "function", "virtualobj.dill"),
    ("jobs", "book.ipynb", "script.ipynb"),
    ("models", "tools/helper", "virtualobj.dill"),
];

const MAKE: &str = "
from omegaml.backends.virtualobj import virtualobj
@virtualobj
def function(data=None, method=None, meta=None, store=None, **kwargs):
    return {'method': method}
om.datasets.put(function, 'function', attributes={'by': 'python'})
om.models.put(function, 'tools/helper')
om.datasets.put(pd.DataFrame({'x': [1, 2]}), 'hdf', as_hdf=True)
om.jobs.create('print(1)', 'book')
exp = om.runtime.experiment('exp')
exp.start()
exp.log_metric('acc', .5)
exp.stop()
";

fn store<'a>(om: &'a Omega, noun: &str) -> &'a Store {
    om.store(noun).unwrap()
}

#[test]
fn they_are_files_here() {
    let mut both = Both::new();
    both.python.run(MAKE);
    let home = tempfile::tempdir().unwrap();
    let embedded = Omega::embedded(home.path()).unwrap();
    for (noun, name, kind) in OBJECTS {
        let objects = store(&both.om, noun);
        let prefix = objects.key(name).prefix;
        let document = both.document(&prefix, name);
        let listed = objects.list(&Listing::default()).unwrap();
        let metadata = listed.iter().find(|metadata| metadata.name() == name);
        let metadata = metadata.unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(metadata.kind, kind, "{name}");
        assert_eq!(
            same_fields(&metadata.to_document()),
            same_fields(&document),
            "{name}"
        );
        let content = both.file(&document);
        assert!(!content.is_empty());
        assert_eq!(bytes(objects.get(name).unwrap()), content, "{name}");
        let error = objects.collect(name, &Default::default()).unwrap_err();
        assert!(error.to_string().contains("not a table"), "{error}");

        // Through another storage and back: Python still opens it.
        let away = store(&embedded, noun);
        objects.copy(name, away, name, false).unwrap();
        assert_eq!(bytes(away.get(name).unwrap()), content, "{name}");
        let copied = match name.strip_suffix(".ipynb") {
            Some(stem) => format!("{stem}2.ipynb"),
            None => format!("{name}2"),
        };
        away.copy(name, objects, &copied, false).unwrap();
        let back = both.document(&prefix, &copied);
        assert_eq!(both.file(&back), content, "{copied}");
        for field in ["kind", "kind_meta", "attributes", "uri"] {
            assert_eq!(back.get(field), document.get(field), "{copied} {field}");
        }
    }
    let opened = "[om.datasets.get('function2'), om.datasets.get('hdf2').x.tolist(), \
         om.jobs.get('book2.ipynb').cells[0].source, type(om.models.get('experiments/exp2')).__name__]";
    let expected =
        serde_json::json!([{ "method": "get" }, [1, 2], "print(1)", "OmegaSimpleTracker"]);
    assert_eq!(both.python.eval(opened), expected);

    for (noun, name, _) in OBJECTS {
        store(&both.om, noun).drop(name).unwrap();
    }
    both.python
        .run("om.datasets.drop('hdf2'); om.jobs.drop('book2.ipynb')");
    // Python asks the function to drop itself.
    both.om.datasets.drop("function2").unwrap();
    both.om.models.drop("tools/helper2").unwrap();
    both.om.models.drop("experiments/exp2").unwrap();
    both.om.datasets.drop(".experiments/exp").unwrap();
    both.nothing_left("kinds of Python");
}

/// What has no content says so.
#[test]
fn what_is_elsewhere_is_said() {
    let mut both = Both::new();
    both.python.run(
        "om.datasets.make_metadata('sql', 'sqlalchemy.conx', kind_meta={'sql': 'select 1'}).save(); \
         om.datasets.make_metadata('far', 'python.file', uri='file:///else/where').save(); \
         om.streams.get('stream')",
    );
    for (noun, name, word) in [
        ("datasets", "sql", "sqlalchemy.conx"),
        ("datasets", "far", "file:///else/where"),
        ("streams", "stream", "stream.minibatch"),
    ] {
        let objects = store(&both.om, noun);
        let error = objects.get(name).err().unwrap();
        assert!(error.to_string().contains(word), "{error}");
        assert!(objects.metadata(name).is_ok());
        objects.copy(name, objects, "copied", false).unwrap();
        let prefix = objects.key(name).prefix;
        let (one, two) = (
            both.document(&prefix, name),
            both.document(&prefix, "copied"),
        );
        assert_eq!(one.get("kind_meta"), two.get("kind_meta"));
        objects.drop(name).unwrap();
        objects.drop("copied").unwrap();
    }
    both.nothing_left("without content");
}

/// The document without what a reader may leave out.
fn same_fields(document: &Document) -> Document {
    let mut document = document.clone();
    for field in ["kind_meta", "attributes", "s3file"] {
        document.entry(field).or_insert(doc! {}.into());
    }
    let mut sorted: Vec<_> = document.into_iter().collect();
    sorted.sort_by(|one, two| one.0.cmp(&two.0));
    sorted.into_iter().collect()
}
