//! What a cell's run leaves in the notebook: messages of the kernel as outputs, as
//! nbclient collects them, with a limit on their size.

use super::message::Message;
use serde_json::{Map, Value, json};

/// Bytes of outputs of one cell that are kept.
pub(in crate::jobs) const MOST: usize = 8 << 20;

/// Outputs of one cell.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    outputs: Vec<Value>,
    /// The displays that may be changed later: id and place.
    displays: Vec<(String, usize)>,
    clear: bool,
    size: usize,
    full: bool,
}

impl Outputs {
    /// Takes what a message shows.
    pub fn take(&mut self, message: &Message) {
        let field = |name: &str| {
            message
                .content
                .get(name)
                .cloned()
                .unwrap_or_else(|| json!({}))
        };
        match message.kind.as_str() {
            "stream" => self.stream(message.text("name"), message.text("text")),
            "display_data" => {
                let output = json!({
                    "output_type": "display_data", "data": field("data"), "metadata": field("metadata"),
                });
                self.add(output);
                if let Some(id) = message.content.pointer("/transient/display_id").and_then(Value::as_str) {
                    self.displays.push((id.to_owned(), self.outputs.len().saturating_sub(1)));
                }
            }
            "update_display_data" => {
                let id = message.content.pointer("/transient/display_id").and_then(Value::as_str);
                let size = size(&field("data"));
                if self.size + size > MOST {
                    return self.overflow();
                }
                self.size += size;
                for (known, place) in &self.displays {
                    if Some(known.as_str()) == id
                        && let Some(output) = self.outputs.get_mut(*place).and_then(Value::as_object_mut)
                    {
                        output.insert("data".to_owned(), field("data"));
                        output.insert("metadata".to_owned(), field("metadata"));
                    }
                }
            }
            "execute_result" => self.add(json!({
                "output_type": "execute_result", "data": field("data"), "metadata": field("metadata"),
                "execution_count": message.content.get("execution_count"),
            })),
            "error" => {
                // Always kept: it says why there is no more.
                self.outputs.push(json!({
                    "output_type": "error", "ename": message.text("ename"), "evalue": message.text("evalue"),
                    "traceback": message.content.get("traceback").cloned().unwrap_or_else(|| json!([])),
                }));
            }
            "clear_output" => match message.content.get("wait").and_then(Value::as_bool) {
                Some(true) => self.clear = true,
                _ => self.forget(),
            },
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.clear = false;
        self.outputs.clear();
        self.displays.clear();
        self.size = 0;
        self.full = false;
    }

    fn add(&mut self, output: Value) {
        if self.clear {
            self.forget();
        }
        let size = size(&output);
        if self.size + size > MOST {
            return self.overflow();
        }
        self.size += size;
        self.outputs.push(output);
    }

    /// Text of the same channel is one output.
    pub fn stream(&mut self, name: &str, text: &str) {
        if self.clear {
            self.forget();
        }
        if self.size + text.len() > MOST {
            return self.overflow();
        }
        self.size += text.len();
        let last = self.outputs.last_mut().and_then(Value::as_object_mut);
        if let Some(last) = last.filter(|last| is_stream(last, name))
            && let Some(Value::String(so_far)) = last.get_mut("text")
        {
            so_far.push_str(text);
            return;
        }
        self.outputs
            .push(json!({"output_type": "stream", "name": name, "text": text}));
    }

    /// Says that there is more than is kept.
    pub fn overflow(&mut self) {
        if !self.full {
            self.full = true;
            self.outputs.push(json!({
                "output_type": "stream", "name": "stderr",
                "text": format!("[om: the cell shows more than {} MB; the rest is left out]\n", MOST >> 20),
            }));
        }
    }

    /// The outputs, for the notebook.
    pub fn finish(self) -> Vec<Value> {
        self.outputs
    }
}

fn is_stream(output: &Map<String, Value>, name: &str) -> bool {
    let is = |field: &str, value: &str| output.get(field).is_some_and(|found| found == value);
    is("output_type", "stream") && is("name", name)
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len() + size(value))
            .sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, content: Value) -> Message {
        Message {
            kind: kind.to_owned(),
            parent: String::new(),
            content,
        }
    }

    #[test]
    fn streams_are_joined_and_displays_change() {
        let mut outputs = Outputs::default();
        for text in ["a", "b\n"] {
            outputs.take(&message("stream", json!({"name": "stdout", "text": text})));
        }
        let display = |text: &str| json!({"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": "d"}});
        outputs.take(&message("display_data", display("0 %")));
        outputs.take(&message("stream", json!({"name": "stdout", "text": "c"})));
        outputs.take(&message("update_display_data", display("100 %")));
        let all = outputs.finish();
        assert_eq!(all.len(), 3);
        assert_eq!(
            all.first().and_then(|one| one.pointer("/text")),
            Some(&json!("ab\n"))
        );
        assert_eq!(
            all.get(1).and_then(|one| one.pointer("/data/text~1plain")),
            Some(&json!("100 %"))
        );
    }

    #[test]
    fn cleared_outputs_wait_for_the_next() {
        let mut outputs = Outputs::default();
        outputs.take(&message("stream", json!({"name": "stdout", "text": "old"})));
        outputs.take(&message("clear_output", json!({"wait": true})));
        assert_eq!(outputs.outputs.len(), 1);
        outputs.take(&message("stream", json!({"name": "stdout", "text": "new"})));
        assert_eq!(
            outputs.finish(),
            [json!({"output_type": "stream", "name": "stdout", "text": "new"})]
        );
    }

    #[test]
    fn too_much_is_left_out_once_and_errors_stay() {
        let mut outputs = Outputs::default();
        let text = "x".repeat(MOST / 3 + 1);
        for _ in 0..9 {
            outputs.take(&message("stream", json!({"name": "stdout", "text": text})));
        }
        outputs.take(&message(
            "error",
            json!({"ename": "E", "evalue": "v", "traceback": []}),
        ));
        assert_eq!(outputs.finish().len(), 3);
    }
}
