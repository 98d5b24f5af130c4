//! pandas' data frames and series in pickles: columns of values. Blocks of numpy arrays and
//! of times are known; the row index is left out.

use super::numpy::Array;
use super::pickle::{Made, Object, Value};

/// The columns of a data frame or series, each with its name, if `object` is one whose
/// blocks are known.
pub fn columns(object: &Object) -> Option<Vec<(Value, Vec<Value>)>> {
    if object.made != Made::New {
        return None;
    }
    let state = object.state.as_ref()?.as_dict()?;
    let manager = state.get("_mgr")?.as_object()?;
    match (object.class.module.as_str(), object.class.name.as_str()) {
        ("pandas.core.frame", "DataFrame") => frame(manager),
        ("pandas.core.series", "Series") => {
            let name = state.get("_name").cloned().unwrap_or(Value::None);
            Some(vec![(name, series(manager)?)])
        }
        _ => None,
    }
}

/// Whether `object` is a series: a single column without rows of its own.
pub fn is_series(object: &Object) -> bool {
    object.class.is("pandas.core.series", "Series")
}

/// `BlockManager((block, …), [columns, rows])`: a block holds columns of one type.
fn frame(manager: &Object) -> Option<Vec<(Value, Vec<Value>)>> {
    let [blocks, axes] = &*manager.args else {
        return None;
    };
    let [names, _] = axes.as_items()? else {
        return None;
    };
    let names = index(names.as_object()?)?;
    let mut columns: Vec<Option<Vec<Value>>> = vec![None; names.len()];
    for block in blocks.as_items()? {
        let block = block.as_object()?;
        let [values, places, _] = &*block.args else {
            return None;
        };
        let rows = values_of(values)?.to_value().ok()?;
        let mut places = places_of(places)?.into_iter();
        for row in rows.as_items()? {
            let column = columns.get_mut(places.next()?)?;
            *column = Some(row.as_items()?.to_vec());
        }
    }
    let columns = names.into_iter().zip(columns);
    columns
        .map(|(name, column)| Some((name, column?)))
        .collect()
}

/// The state of a `SingleBlockManager` ends with `{"0.14.1": {"blocks": [{"values": …}]}}`.
fn series(manager: &Object) -> Option<Vec<Value>> {
    let state = manager.state.as_ref()?.as_items()?;
    let blocks = state
        .get(3)?
        .as_dict()?
        .get("0.14.1")?
        .as_dict()?
        .get("blocks")?;
    let [block] = blocks.as_items()? else {
        return None;
    };
    let values = values_of(block.as_dict()?.get("values")?)?
        .to_value()
        .ok()?;
    Some(values.as_items()?.to_vec())
}

/// An array, or the array inside of pandas' array of times.
fn values_of(values: &Value) -> Option<Array> {
    let object = values.as_object()?;
    if object
        .class
        .is("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked")
    {
        let state = object.state.as_ref()?.as_items()?;
        return Array::of(state.get(1)?.as_object()?);
    }
    Array::of(object)
}

/// Where the columns of a block go: `slice(start, stop, step)` or an array of places.
fn places_of(places: &Value) -> Option<Vec<usize>> {
    let object = places.as_object()?;
    if let Some(array) = Array::of(object) {
        let places = array.to_value().ok()?;
        let places = places.as_items()?.iter();
        return places
            .map(|place| usize::try_from(place.as_int()?).ok())
            .collect();
    }
    match &*object.args {
        [Value::Int(start), Value::Int(stop), Value::Int(step)]
            if object.class.is("builtins", "slice") =>
        {
            let start = usize::try_from(*start).ok()?;
            let stop = usize::try_from(*stop).ok()?;
            let step = usize::try_from(*step).ok().filter(|step| *step > 0)?;
            // More places than a frame of this size has are never asked for.
            Some((start..stop).step_by(step).take(1 << 20).collect())
        }
        _ => None,
    }
}

/// The labels of `_new_Index(class, {"data": …})` or of a range.
fn index(object: &Object) -> Option<Vec<Value>> {
    let [_, parts] = &*object.args else {
        return None;
    };
    let parts = parts.as_dict()?;
    if let Some(data) = parts.get("data") {
        return Some(values_of(data)?.to_value().ok()?.as_items()?.to_vec());
    }
    let bound = |field: &str| parts.get(field).and_then(Value::as_int);
    let (start, stop, step) = (bound("start")?, bound("stop")?, bound("step")?);
    let step = usize::try_from(step).ok().filter(|step| *step > 0)?;
    Some(
        (start..stop)
            .step_by(step)
            .take(1 << 20)
            .map(Value::Int)
            .collect(),
    )
}
