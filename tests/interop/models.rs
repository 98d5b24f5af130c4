//! Models with versions, as Python keeps them (spec/storage.md §10), and `om`'s own.

use super::{Both, bytes};
use bson::doc;
use omega::ErrorKind;
use omega::store::{CopyOptions, Object, PutMode, PutOptions};
use serde_json::{Value, json};

const MAKE: &str = "
from sklearn.linear_model import LinearRegression
def fitted(k):
    return LinearRegression().fit([[1.], [2.]], [k, 2. * k])
def slopes(store, *names):
    return [round(float(store.get(name).coef_[0])) for name in names]
om.models.put(fitted(1.), 'reg')
om.models.put(fitted(2.), 'reg', tag='good')
om.models.put(fitted(3.), 'reg', attributes={'by': 'python'})
";

/// The commit that a tag of a model stands for.
fn commit(both: &Both, name: &str, tag: &str) -> String {
    let document = both.document("models/", name);
    let attributes = document.get_document("attributes").unwrap();
    let tags = attributes
        .get_document("versions")
        .unwrap()
        .get_document("tags");
    tags.unwrap().get_str(tag).unwrap().to_owned()
}

#[test]
fn versions_are_found_copied_renamed_and_dropped() {
    let mut both = Both::new();
    both.python.run(MAKE);
    let models = both.om.models.clone();
    assert_eq!(models.list(&Default::default()).unwrap().len(), 1);
    let names = ["reg", "reg@good", "reg@latest", "reg^", "reg^^"];
    let (good, latest) = (commit(&both, "reg", "good"), commit(&both, "reg", "latest"));
    let stored = |both: &Both, commit: &str| {
        both.file(&both.document("models/", &format!("_versions/reg/{commit}")))
    };
    for (name, commit) in [
        ("reg", &latest),
        ("reg@good", &good),
        ("reg@latest", &latest),
        ("reg^", &good),
    ] {
        assert_eq!(
            bytes(models.get(name).unwrap()),
            stored(&both, commit),
            "{name}"
        );
        let metadata = models.metadata(name).unwrap();
        assert_eq!(metadata.kind, "sklearn.joblib");
    }
    assert_eq!(
        bytes(models.get(&format!("reg@{good}")).unwrap()),
        stored(&both, &good)
    );
    let error = models.get("reg@godo").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint_text().unwrap().contains("reg@good"), "{error}");
    assert_eq!(models.load("reg").err().unwrap().kind(), ErrorKind::Invalid);

    // Copies: under another name, in another bucket, by way of another storage.
    let slopes = |both: &mut Both, store: &str, name: &str| -> Value {
        let names = names
            .map(|one| format!("'{}'", one.replace("reg", name)))
            .join(", ");
        both.python.eval(&format!("slopes({store}, {names})"))
    };
    let expected = json!([3, 2, 3, 2, 1]);
    assert_eq!(slopes(&mut both, "om.models", "reg"), expected);
    models.copy("reg", &models, "copied", false).unwrap();
    assert_eq!(slopes(&mut both, "om.models", "copied"), expected);
    let prod = both.om.bucket("prod");
    let home = tempfile::tempdir().unwrap();
    let embedded = omega::Omega::embedded(home.path()).unwrap();
    models.copy("reg", &embedded.models, "away", false).unwrap();
    assert_eq!(
        bytes(embedded.models.get("away@good").unwrap()),
        stored(&both, &good)
    );
    embedded
        .models
        .copy("away", &prod.models, "reg", false)
        .unwrap();
    assert_eq!(slopes(&mut both, "om['prod'].models", "reg"), expected);
    let error = models.copy("reg", &models, "copied", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);

    // One version alone is a model of its own.
    models.copy("reg@good", &models, "alone", false).unwrap();
    assert_eq!(both.python.eval("slopes(om.models, 'alone')"), json!([2]));

    // Copying again notices a new version, and replaces all.
    both.python
        .run("om.models.put(fitted(4.), 'reg', tag='good')");
    let again = CopyOptions {
        replace: true,
        skip_same: true,
    };
    let copied = models.copy_with("reg", &models, "copied", again).unwrap();
    assert_eq!(copied.step, omega::store::CopyStep::Replace);
    assert_eq!(
        slopes(&mut both, "om.models", "copied"),
        json!([4, 4, 4, 3, 2])
    );
    let copied = models.copy_with("reg", &models, "copied", again).unwrap();
    assert_eq!(copied.step, omega::store::CopyStep::Skip);

    models.rename("copied", "renamed").unwrap();
    assert_eq!(
        slopes(&mut both, "om.models", "renamed"),
        json!([4, 4, 4, 3, 2])
    );
    assert_eq!(
        both.python.eval("om.models.list()"),
        json!(["alone", "reg", "renamed"])
    );
    both.python.run("om.models.put(fitted(5.), 'renamed')");
    assert_eq!(
        slopes(&mut both, "om.models", "renamed"),
        json!([5, 4, 5, 4, 3])
    );

    models.drop("renamed").unwrap();
    let left = both
        .raw
        .find("metadata", doc! { "name": { "$regex": "renamed" } });
    assert!(left.is_empty(), "{left:?}");
    models.drop("alone").unwrap();
    prod.models.drop("reg").unwrap();
    assert_eq!(
        slopes(&mut both, "om.models", "reg"),
        json!([4, 4, 4, 3, 2])
    );
    // What Python leaves behind when it drops a model goes with a drop here.
    both.python.eval("om.models.drop('reg')");
    assert_eq!(both.raw.find("metadata", doc! {}).len(), 4);
    both.python.run("om.models.put(fitted(6.), 'reg')");
    models.drop("reg").unwrap();
    assert!(both.raw.find("metadata", doc! {}).is_empty());
    // A model of om's in its place has no versions of it.
    both.python.run("om.models.put(fitted(7.), 'reg')");
    let options = PutOptions {
        mode: PutMode::Replace,
        ..PutOptions::default()
    };
    models.put("reg", own_model(), &options).unwrap();
    assert_eq!(both.raw.find("metadata", doc! {}).len(), 1);
}

/// Bytes that nobody opens here.
fn own_model() -> Object {
    Object::Model {
        bytes: b"OMEGA-MODEL and more".to_vec(),
        kind_meta: doc! { "spec": "linear", "trained": true },
    }
}

#[test]
fn own_models_are_no_trouble_to_python() {
    let mut both = Both::new();
    let options = PutOptions {
        attributes: doc! { "owner": "me" },
        ..PutOptions::default()
    };
    both.om.models.put("ours", own_model(), &options).unwrap();
    assert_eq!(both.python.eval("om.models.list()"), json!(["ours"]));
    let seen = both.python.eval(
        "[(m.name, m.kind, m.attributes['owner'], m.kind_meta['spec']) for m in om.models.list('ours', raw=True)]",
    );
    assert_eq!(seen, json!([["ours", "linfa.model", "me", "linear"]]));
    assert_eq!(
        both.python.eval("om.models.metadata('ours').kind"),
        "linfa.model"
    );
    assert_eq!(both.python.eval("om.models.exists('ours')"), true);
    assert_eq!(both.python.eval("om.models.drop('ours')"), true);
    both.nothing_left("a model");
}

#[test]
fn models_of_scikit_learn_are_trained_by_both() {
    use omega::runtime::{Action, Input, ModelCall, Outcome};
    let mut both = Both::new();
    both.python.run(
        "
from sklearn.linear_model import LinearRegression
line = pd.DataFrame({'x': np.arange(1., 13.), 'y': np.arange(1., 13.) * 2})
om.datasets.put(line, 'line', append=False)
om.models.put(LinearRegression(), 'sk')",
    );
    let mut om = both.om.objects();
    let python = super::python::program("python");
    let python = omega::config::interpreter::Python::new(python.to_str());
    om.backends =
        omega::backends::Backends::new(&python, &[], Default::default(), Vec::new()).into();
    // Python's, trained by om, asked by Python.
    let name = |name: &str| Some(Input::Name(name.to_owned()));
    let fit = ModelCall {
        x: name("line[x]"),
        y: name("line[y]"),
        ..ModelCall::new("sk", Action::Fit)
    };
    fit.run(&om).unwrap();
    let told = both.python.eval("[round(float(om.models.get('sk').coef_[0][0]), 6), om.models.metadata('sk').attributes['dataset']['Xname'], len(om.models.metadata('sk').attributes['versions']['commits']), om.models.revisions('sk')[0]]");
    assert_eq!(told, json!([2.0, "line[x]", 2, "sk@latest"]));
    assert_eq!(
        both.python
            .eval("hasattr(om.models.get('sk', version=-2), 'coef_')"),
        json!(false)
    );
    // Trained again by Python, asked by om.
    both.python
        .run("om.models.put(LinearRegression().fit(line[['x']], line[['y']] * 10), 'sk')");
    let predict = ModelCall {
        x: Some(Input::Inline(json!([[1.0], [2.0]]))),
        ..ModelCall::new("sk", Action::Predict)
    };
    let Outcome::Table(frame) = predict.run(&om).unwrap() else {
        panic!("no table")
    };
    let values: Vec<f64> = frame.columns()[0]
        .f64()
        .unwrap()
        .iter()
        .flatten()
        .map(f64::round)
        .collect();
    assert_eq!(values, [20.0, 40.0]);
    // The file's bytes are of the format that Python writes: zlib at level 3.
    let stored = bytes(om.models.get("sk").unwrap());
    assert_eq!(stored.get(..2), Some(&[0x78, 0x5e][..]));
    fit.run(&om).unwrap();
    assert_eq!(
        bytes(om.models.get("sk").unwrap()).get(..2),
        Some(&[0x78, 0x5e][..])
    );
    both.python.run("om.models.drop('sk')");
}
