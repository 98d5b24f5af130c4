//! The repository: what is in which store.

use super::NOUNS;
use super::layout::{Shell, bytes, capital, count, when};
use super::of_page;
use crate::server::app::Call;
use crate::server::reply::{Failure, Reply};
use crate::storage::Metadata;
use crate::store::{Listing, Store};
use maud::html;

/// Objects on a page.
const PAGE: usize = 200;

/// What is no result of a run, nor an experiment's: those have places of their own.
fn shown(store: &Store, noun: &str) -> Result<Vec<Metadata>, Failure> {
    let mut all = store.list(&Listing::default()).map_err(of_page)?;
    all.retain(|metadata| !metadata.name().starts_with("experiments/"));
    if noun == "jobs" {
        all.retain(|metadata| !metadata.name().starts_with(crate::jobs::RESULTS));
    }
    Ok(all)
}

/// How much there is of what.
pub fn index(call: &Call<'_>, shell: &Shell) -> Result<Reply, Failure> {
    let mut latest: Vec<(&str, Metadata)> = Vec::new();
    let mut counts = Vec::new();
    for noun in NOUNS {
        let Some(store) = call.om.store(noun) else {
            continue;
        };
        let all = shown(store, noun)?;
        counts.push((noun, all.len()));
        latest.extend(all.into_iter().map(|metadata| (noun, metadata)));
    }
    latest.sort_by_key(|(_, metadata)| std::cmp::Reverse(metadata.modified));
    let content = html! {
        div.cards {
            @for (noun, number) in counts {
                a href=(shell.link(noun)) { b { (count(number as u64)) } (noun) }
            }
        }
        h2 { "Changed last" }
        @if latest.is_empty() {
            p.note { "There is nothing yet. Store a table: " code { "om datasets put FILE NAME" } }
        } @else {
            div.wide { table {
                thead { tr { th { "Name" } th { "Kind" } th { "Changed" } } }
                tbody { @for (noun, metadata) in latest.iter().take(15) { tr {
                    td { a href=(shell.link(&format!("{noun}/{}", metadata.name()))) { (noun) "/" (metadata.name()) } }
                    td { (metadata.kind) }
                    td { (when(metadata.modified)) }
                } } }
            } }
        }
        p.note { "Objects are in " code { (call.om.storage().location()) } }
    };
    Ok(shell.page("Overview", None, content))
}

/// The objects of a store.
pub fn list(call: &Call<'_>, shell: &Shell, noun: &str) -> Result<Reply, Failure> {
    let store = call.om.store(noun);
    let store = store.ok_or_else(|| Failure::new(404, "there is no such store"))?;
    let wanted = call.request.param("q").unwrap_or_default().to_lowercase();
    let mut all = shown(store, noun)?;
    all.retain(|metadata| metadata.name().to_lowercase().contains(&wanted));
    let pages = all.len().div_ceil(PAGE).max(1);
    let page: usize = call
        .request
        .param("page")
        .and_then(|page| page.parse().ok())
        .unwrap_or(1);
    let page = page.clamp(1, pages);
    let some: Vec<Metadata> = all
        .iter()
        .skip((page - 1) * PAGE)
        .take(PAGE)
        .cloned()
        .collect();
    let sizes = store.stats_of(&some).map_err(of_page)?;
    let content = html! {
        form method="get" role="search" {
            (shell.bucket_field())
            label { "Name contains" input type="search" name="q" value=(wanted); }
            button { "Search" }
        }
        @if some.is_empty() {
            p.note { "There are none." }
        } @else {
            div.wide { table {
                thead { tr { th { "Name" } th { "Kind" } th.n { "Rows" } th.n { "Size" } th { "Created" } th { "Changed" } } }
                tbody { @for (metadata, stats) in some.iter().zip(&sizes) { tr {
                    td { a href=(shell.link(&format!("{noun}/{}", metadata.name()))) { (metadata.name()) } }
                    td { (metadata.kind) }
                    td.n { @if let Some(rows) = stats.count { (count(rows)) } }
                    td.n { (bytes(stats.bytes)) }
                    td { (when(metadata.created)) }
                    td { (when(metadata.modified)) }
                } } }
            } }
        }
        @if pages > 1 {
            nav aria-label="Pages" { form method="get" {
                (shell.bucket_field())
                input type="hidden" name="q" value=(wanted);
                label { "Page" input type="number" name="page" min="1" max=(pages) value=(page); }
                button { "Go" } span { "of " (pages) }
            } }
        }
    };
    Ok(shell.page(&capital(noun), None, content))
}
