//! The dashboard in a real Chromium, driven over WebDriver: every page is shown without a
//! word in the console, by mouse and by keyboard, light and dark; a prediction is made, a
//! job is started and watched. `OM_SCREENSHOTS=DIR` keeps pictures of the pages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod om;
mod web;

use om::Om;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use web::Web;

/// How WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A Chromium with one window.
struct Browser {
    driver: Child,
    web: Web,
    session: String,
}

impl Browser {
    fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium's driver is missing: run tests/servers.sh");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("the driver starts");
        std::thread::spawn(move || lines.for_each(drop));
        let web = Web::at(&format!("http://127.0.0.1:{port}"));
        let options = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--window-size=1100,1000",
            ] },
        } } });
        let answer = web.json("POST", "/session", &options).value();
        let session = answer["value"]["sessionId"].as_str();
        let session = session.unwrap_or_else(|| panic!("{answer}")).to_owned();
        Browser {
            driver,
            web,
            session,
        }
    }

    #[track_caller]
    fn call(&self, method: &str, command: &str, body: &Value) -> Value {
        let target = format!("/session/{}/{command}", self.session);
        let answer = self.web.json(method, &target, body).value();
        let error = answer["value"]["error"].as_str();
        assert_eq!(error, None, "{command} {body}: {answer}");
        answer["value"].clone()
    }

    #[track_caller]
    fn get(&self, command: &str) -> Value {
        let target = format!("/session/{}/{command}", self.session);
        self.web.get(&target).value()["value"].clone()
    }

    #[track_caller]
    fn open(&self, url: &str) {
        self.call("POST", "url", &json!({ "url": url }));
        self.is_quiet(url);
    }

    fn all(&self, selector: &str) -> Vec<String> {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.call("POST", "elements", &body);
        let found = found.as_array().unwrap().iter();
        found
            .map(|element| element[ELEMENT].as_str().unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    fn one(&self, selector: &str) -> String {
        let found = self.all(selector);
        let first = found.into_iter().next();
        first.unwrap_or_else(|| panic!("no {selector} in {}", self.source()))
    }

    #[track_caller]
    fn click(&self, selector: &str) {
        let element = self.one(selector);
        self.call("POST", &format!("element/{element}/click"), &json!({}));
    }

    #[track_caller]
    fn fill(&self, selector: &str, text: &str) {
        let element = self.one(selector);
        self.call("POST", &format!("element/{element}/clear"), &json!({}));
        self.call(
            "POST",
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    fn source(&self) -> String {
        self.get("source").as_str().unwrap_or_default().to_owned()
    }

    fn text(&self, selector: &str) -> String {
        let element = self.one(selector);
        let text = self.get(&format!("element/{element}/text"));
        text.as_str().unwrap_or_default().to_owned()
    }

    fn url(&self) -> String {
        self.get("url").as_str().unwrap_or_default().to_owned()
    }

    /// Presses keys, wherever the focus is.
    fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key.to_string() }),
                    json!({ "type": "keyUp", "value": key.to_string() }),
                ]
            })
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.call("POST", "actions", &json!({ "actions": [keyboard] }));
    }

    /// Nothing is said in the console.
    #[track_caller]
    fn is_quiet(&self, at: &str) {
        let said = self.call("POST", "se/log", &json!({ "type": "browser" }));
        assert_eq!(said, json!([]), "{at}");
    }

    /// A picture of the page, where somebody wants to look at it.
    fn picture(&self, name: &str) {
        use base64::Engine;
        if let Some(folder) = std::env::var_os("OM_SCREENSHOTS") {
            let encoded = self.get("screenshot");
            let bytes = base64::prelude::BASE64_STANDARD
                .decode(encoded.as_str().unwrap())
                .unwrap();
            let path = std::path::Path::new(&folder).join(format!("{name}.png"));
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "POST",
            "goog/cdp/execute",
            &json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } }),
        );
    }

    fn style(&self, selector: &str, property: &str) -> String {
        let element = self.one(selector);
        let value = self.get(&format!("element/{element}/css/{property}"));
        value.as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let target = format!("/session/{}", self.session);
        self.web.send("DELETE", &target, &[], b"");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn filled() -> Om {
    let om = Om::here();
    om.ok(&["datasets", "put", &om::data("iris.csv"), "iris"]);
    let file = om.file("note.txt", "a note");
    om.ok(&["datasets", "put", &file, "note.txt", "--as", "file"]);
    let spec = "standard-scaler|logistic-regression";
    om.ok(&["models", "put", spec, "iris-clf"]);
    let fit = ["runtime", "model", "iris-clf", "fit"];
    om.ok(&[&fit[..], &["iris[^species]", "iris[species]"]].concat());
    om.ok(&["runtime", "model", "iris-clf", "score", "*", "*"]);
    // A script is a job too, and needs no kernel.
    let job = om.file(
        "hello.sh",
        "#!/bin/sh\necho started\nsleep 1\necho finished\n",
    );
    om.ok(&["jobs", "put", &job, "hello"]);
    om
}

#[test]
fn every_page_is_shown_by_a_browser() {
    let om = filled();
    let web = Web::start(&om, &[]);
    let at = |path: &str| format!("http://{}{path}", web.address);
    let browser = Browser::start();
    browser.open(&at("/"));
    assert!(browser.url().ends_with("/index"), "{}", browser.url());
    let mut seen = Vec::new();
    let mut waiting = vec!["/index".to_owned()];
    // Every link that leads to a page of ours.
    while let Some(path) = waiting.pop() {
        if seen.contains(&path) || seen.len() > 60 {
            continue;
        }
        browser.open(&at(&path));
        let title = browser.get("title");
        assert!(
            title.as_str().is_some_and(|title| !title.is_empty()),
            "{path}"
        );
        assert_eq!(browser.all("h1").len(), 1, "{path}");
        assert_eq!(browser.all("html[lang]").len(), 1, "{path}");
        browser.picture(&path.trim_matches('/').replace(['/', '?', '=', '&'], "_"));
        for link in browser.all("a[href^='/']") {
            let target = browser.get(&format!("element/{link}/attribute/href"));
            let target = target.as_str().unwrap_or_default().to_owned();
            let page = !target.contains("/raw/") && !target.ends_with(".json");
            if page && !target.contains('#') {
                waiting.push(target);
            }
        }
        seen.push(path);
    }
    for page in [
        "/index",
        "/datasets/iris",
        "/models/iris-clf",
        "/jobs/hello",
        "/runtime",
    ] {
        assert!(
            seen.iter().any(|path| path.starts_with(page)),
            "{page} is in {seen:?}"
        );
    }
    // Dark where that is preferred, and readable on a telephone.
    browser.open(&at("/datasets/iris"));
    let light = browser.style("body", "color");
    browser.prefer("dark");
    let dark = browser.style("body", "color");
    assert_ne!(light, dark);
    browser.picture("dark");
    browser.call(
        "POST",
        "window/rect",
        &json!({ "width": 420, "height": 900 }),
    );
    browser.open(&at("/datasets/iris"));
    browser.picture("narrow");
    let script = json!({ "args": [], "script":
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth" });
    assert_eq!(
        browser.call("POST", "execute/sync", &script),
        json!(true),
        "it is too wide"
    );
}

#[test]
fn a_prediction_is_made_by_hand() {
    let om = filled();
    let web = Web::start(&om, &[]);
    let browser = Browser::start();
    browser.open(&format!("http://{}/models/iris-clf", web.address));
    for (place, value) in ["5.1", "3.5", "1.4", "0.2"].into_iter().enumerate() {
        browser.fill(&format!("input[name='x{place}']"), value);
    }
    // By the keyboard alone.
    browser.press("\u{e007}");
    browser.is_quiet("after the prediction");
    browser.picture("prediction");
    assert!(
        browser.text("main").contains("setosa"),
        "{}",
        browser.source()
    );
    // What is missing is asked for, and what was typed stays.
    browser.fill("input[name='x0']", "");
    browser.press("\u{e007}");
    assert_eq!(browser.all("input:invalid").len(), 1);
    assert_eq!(browser.all("input[name='x1'][value='3.5']").len(), 1);
}

#[test]
fn a_job_is_started_and_watched() {
    let om = filled();
    let web = Web::start(&om, &[]);
    let browser = Browser::start();
    browser.open(&format!("http://{}/jobs/hello", web.address));
    browser.click("form[method='post'] button");
    browser.is_quiet("after the job was started");
    browser.picture("started");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let text = browser.text("main");
        if text.contains("OK") || text.contains("SUCCESS") {
            break;
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(500));
        let there = browser.url();
        browser.open(&there);
    }
    browser.picture("finished");
    browser.open(&format!("http://{}/jobs/hello", web.address));
    assert!(browser.text("main").contains("OK"), "{}", browser.source());
}
