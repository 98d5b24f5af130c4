use crate::given::{PATIENCE, Place, consume, letter, next, nothing, queue, text};
use crate::rabbit::Rabbit;
use omega::broker::{Letter, Lifetime, Queue};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub fn replies_come_before_the_message_goes(place: &Place) {
    let (client, worker) = (place.open(), place.open());
    let tasks = queue(&*client);
    let replies = Queue::reply(Rabbit::name("replies"), Lifetime::Expiry);
    let answers = consume(&*client, &replies, 10);
    client.publish(&letter(&tasks, "task")).unwrap();
    let consumer = consume(&*worker, &tasks, 1);
    let task = next(&*consumer);
    let sent = vec![letter(&replies, "started"), letter(&replies, "success")];
    consumer.finish(task, sent).unwrap();
    for expected in ["started", "success"] {
        let answer = next(&*answers);
        assert_eq!(text(&answer), expected);
        assert!(answers.ack(answer).unwrap());
    }
    assert!(consumer.settle(PATIENCE).unwrap());
    drop(consumer);
    nothing(&*consume(&*worker, &tasks, 1));
    drop(answers);
    assert!(client.delete(&replies.name).unwrap());
}

pub fn nobody_waiting_for_a_reply_is_no_error(place: &Place) {
    let broker = place.open();
    let tasks = queue(&*broker);
    broker.publish(&letter(&tasks, "task")).unwrap();
    let consumer = consume(&*broker, &tasks, 1);
    let gone = Queue::task(Rabbit::name("gone"));
    consumer
        .finish(next(&*consumer), vec![letter(&gone, "done")])
        .unwrap();
    assert!(consumer.settle(PATIENCE).unwrap());
    drop(consumer);
    nothing(&*consume(&*broker, &tasks, 1));
}

pub fn thousands_are_finished(place: &Place) {
    let (client, worker) = (place.open(), place.open());
    let (tasks, replies) = (queue(&*client), queue(&*client));
    let count = 3_000;
    let letters: Vec<_> = (0..count).map(|n| letter(&tasks, &n.to_string())).collect();
    client.publish_all(&letters).unwrap();
    let consumer = consume(&*worker, &tasks, 200);
    for _ in 0..count {
        let task = next(&*consumer);
        let reply = letter(&replies, &text(&task));
        consumer.finish(task, vec![reply]).unwrap();
    }
    assert!(consumer.settle(PATIENCE).unwrap());
    let answers = consume(&*client, &replies, 500);
    let mut seen = BTreeSet::new();
    for _ in 0..count {
        let answer = next(&*answers);
        assert!(seen.insert(text(&answer)));
        answers.finish(answer, Vec::new()).unwrap();
    }
    assert!(answers.settle(PATIENCE).unwrap());
    nothing(&*answers);
    nothing(&*consumer);
}

pub fn a_successor_can_be_delayed(place: &Place) {
    let broker = place.open();
    let tasks = queue(&*broker);
    broker.publish(&letter(&tasks, "first try")).unwrap();
    let consumer = consume(&*broker, &tasks, 1);
    let task = next(&*consumer);
    let (begun, delay) = (Instant::now(), Duration::from_millis(600));
    let retry = Letter {
        delay,
        ..letter(&tasks, "second try")
    };
    consumer.finish(task, vec![retry]).unwrap();
    let again = next(&*consumer);
    assert_eq!(text(&again), "second try");
    assert!(begun.elapsed() >= delay);
    assert_eq!(again.deliveries, 1);
}
