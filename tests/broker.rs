//! The contract of `omega::broker::Broker`, written against the trait alone and run on
//! every broker there is; then what only one of them can suffer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "broker/amqp.rs"]
mod amqp;
#[path = "broker/delivery.rs"]
mod delivery;
#[path = "broker/embedded.rs"]
mod embedded;
#[path = "broker/finishing.rs"]
mod finishing;
#[path = "broker/given.rs"]
mod given;
#[path = "broker/queues.rs"]
mod queues;
mod rabbit;
#[path = "broker/topics.rs"]
mod topics;

use given::Place;

macro_rules! suite {
    ($broker:ident: $($module:ident { $($case:ident)+ })+) => {
        mod $broker {
            $(mod $module {
                $(#[test]
                fn $case() {
                    crate::$module::$case(&crate::Place::$broker());
                })+
            })+
        }
    };
}

/// All cases, on one broker.
macro_rules! conforms {
    ($broker:ident) => {
        suite! { $broker:
            queues {
                publishing_needs_a_queue
                depth_counts_what_waits
                purge_and_delete_say_what_they_did
                a_queue_of_replies_ends_with_its_consumer
                a_queue_of_replies_outlives_its_client
                a_listener_is_one_consumers_own
            }
            delivery {
                messages_come_back_whole
                messages_come_in_order
                what_is_acknowledged_is_gone
                what_is_held_comes_again_when_its_consumer_goes
                prefetch_limits_what_is_held
                what_is_given_back_comes_again
                delayed_messages_come_later
                given_back_with_a_delay
                rejected_messages_are_kept_aside
                delivered_too_often
                one_that_waits_is_woken_up
                queues_are_added_and_cancelled
                consumers_share_the_work
                large_messages
            }
            finishing {
                replies_come_before_the_message_goes
                nobody_waiting_for_a_reply_is_no_error
                thousands_are_finished
                a_successor_can_be_delayed
            }
            topics {
                commands_reach_all_workers
                answers_reach_who_asked
                events_reach_who_listens_to_them
                posting_to_nobody_is_no_error
            }
        }
    };
}

conforms!(directory);
conforms!(rabbitmq);
