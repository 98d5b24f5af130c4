//! The contract of `omega::storage::Storage`, written against the trait alone and run on
//! every storage there is. A new storage adds one function that opens an empty one and
//! one line at the end of this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "conformance/blobs.rs"]
mod blobs;
#[path = "conformance/documents.rs"]
mod documents;
#[path = "conformance/given.rs"]
mod given;
#[path = "conformance/listing.rs"]
mod listing;
#[path = "conformance/logs.rs"]
mod logs;
#[path = "conformance/metadata.rs"]
mod metadata;
#[path = "conformance/modes.rs"]
mod modes;
#[path = "conformance/reading.rs"]
mod reading;
#[path = "conformance/records.rs"]
mod records;
#[path = "conformance/rows.rs"]
mod rows;
mod served;
mod server;

use omega::storage::Storage;
use omega::storage::embedded::{EmbeddedStorage, Options};
use omega::storage::mongo::MongoStorage;
use std::sync::Arc;

macro_rules! suite {
    ($storage:ident: $($module:ident { $($case:ident)+ })+) => {
        mod $storage {
            $(mod $module {
                $(#[test]
                fn $case() {
                    crate::$storage(crate::$module::$case);
                })+
            })+
        }
    };
}

/// All cases, on one storage.
macro_rules! conforms {
    ($storage:ident) => {
        suite! { $storage:
            metadata {
                comes_back_field_for_field
                keeps_unknown_fields_through_every_change
                is_filled_by_the_storage
                updates_single_fields
                refuses_updates_that_make_no_sense
                survives_concurrent_changes
                names_are_just_names
                nothing_is_found_in_an_empty_storage
            }
            listing {
                is_sorted_and_limited_to_its_prefix
                leaves_out_hidden_and_temporary_names
                selects_by_regex_and_kind
                buckets_are_those_with_objects
            }
            modes {
                create_refuses_what_exists
                create_conflicts_when_another_was_faster
                replace_replaces_metadata_and_content
                replace_keeps_the_identity_that_it_is_handed
                append_keeps_the_order
                append_makes_what_is_missing
                append_conflicts_with_a_replacement
                append_conflicts_with_a_drop
                concurrent_appends_all_survive
                append_refuses_other_content
                a_dropped_writer_leaves_no_trace
                content_of_two_sorts_is_refused
                metadata_alone_is_an_object
                drop_deletes_and_says_so
                rename_moves_everything
                rename_conflicts_with_what_exists
            }
            rows {
                all_types_come_back
                appended_columns_are_reordered_and_widened
                appended_columns_must_fit
                frames_of_one_write_must_agree
                an_empty_frame_keeps_its_columns
                no_columns_are_refused
                ten_thousand_columns
                many_small_appends
                large_frames_keep_their_order
                odd_column_names
            }
            reading {
                reads_the_columns_that_are_asked_for
                skips_and_limits_across_appends
                derives_index_and_row_ids_when_named
                keeps_an_index_of_its_own
                columns_that_are_not_there_are_left_to_the_query
                nested_fields_are_read_with_their_column
                a_reader_keeps_the_state_it_has_seen
                a_reader_does_not_see_what_is_added_later
                a_reader_follows_a_replacement
                a_reader_is_told_of_a_drop
                content_of_another_sort_is_refused
                sizes_are_known_without_reading
                check_finds_nothing_wrong
            }
            documents {
                come_back_in_order
                get_an_id
                name_the_last_one
                keep_their_types
                are_many
                survive_being_replaced_while_read
            }
            records {
                come_back_as_they_were
                an_id_is_taken_once
                change_on_condition
                are_listed_newest_first
                one_of_many_takes_it
                expire
            }
            logs {
                entries_come_back_in_order
                are_objects
                the_oldest_entries_go
                many_write_at_once
            }
            blobs {
                come_back
                can_be_empty
                can_be_read_from_anywhere
                stay_readable_when_replaced
                cannot_be_appended_to
            }
        }
    };
}

fn embedded(case: fn(&dyn Storage)) {
    let home = tempfile::tempdir().unwrap();
    let storage = EmbeddedStorage::open(&home.path().join("store"), Options::default()).unwrap();
    case(&storage);
    let report = storage.check(false, &omega::progress::Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert_eq!(report.leftovers, 0, "{report:?}");
}

fn mongo(case: fn(&dyn Storage)) {
    let options =
        omega::storage::mongo::Options::new(omega::config::Url::new(server::mongo().database()));
    let storage = MongoStorage::open(options).unwrap();
    case(&storage);
    let report = storage.check(false, &omega::progress::Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert_eq!(report.leftovers, 0, "{report:?}");
}

/// What clients of a server see of a storage conforms, whatever the storage is.
fn through_a_server(storage: Arc<dyn Storage>, case: fn(&dyn Storage)) {
    let served = served::Served::of(storage.clone());
    case(&served.storage());
    drop(served);
    let report = storage.check(false, &omega::progress::Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert_eq!(report.leftovers, 0, "{report:?}");
}

fn remote(case: fn(&dyn Storage)) {
    let home = tempfile::tempdir().unwrap();
    let storage = EmbeddedStorage::open(&home.path().join("store"), Options::default()).unwrap();
    through_a_server(Arc::new(storage), case);
}

fn remote_mongo(case: fn(&dyn Storage)) {
    let options =
        omega::storage::mongo::Options::new(omega::config::Url::new(server::mongo().database()));
    through_a_server(Arc::new(MongoStorage::open(options).unwrap()), case);
}

conforms!(embedded);
conforms!(mongo);
conforms!(remote);
conforms!(remote_mongo);
