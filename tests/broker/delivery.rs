use crate::given::{
    GLANCE, PATIENCE, Place, consume, letter, message, next, nothing, prefetch, queue, text, until,
};
use omega::broker::{ConsumeOptions, DEATH_HEADER, Letter, Message, Properties, dead_queue};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub fn messages_come_back_whole(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    let headers = json!({
        "argsrepr": "('ü',)", "big": 1_i64 << 40, "eta": null, "ignore_result": false, "lang": "py",
        "share": 0.5, "stamps": {"a": []}, "timelimit": [1230, 1200],
    });
    let sent = Message {
        properties: Properties {
            content_type: Some("application/x-python-serialize".into()),
            content_encoding: Some("binary".into()),
            correlation_id: Some("1".into()),
            reply_to: Some("2".into()),
            expiration: Some("3600000".into()),
            message_id: Some("3".into()),
            timestamp: Some("1700000000".into()),
            delivery_mode: 2,
            priority: Some(0),
        },
        headers: headers.as_object().unwrap().clone(),
        body: (0..=255).collect(),
    };
    broker
        .publish(&Letter::new(queue.name.as_str(), sent.clone()))
        .unwrap();
    let consumer = consume(&*broker, &queue, 1);
    let delivery = next(&*consumer);
    assert_eq!(delivery.message, sent);
    assert_eq!(delivery.queue, queue.name);
    assert!(!delivery.redelivered);
    assert_eq!(delivery.deliveries, 1);
}

pub fn messages_come_in_order(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    let letters: Vec<_> = (0..2_500).map(|n| letter(&queue, &n.to_string())).collect();
    broker.publish_all(&letters).unwrap();
    let consumer = consume(&*broker, &queue, 100);
    for n in 0..2_500 {
        let delivery = next(&*consumer);
        assert_eq!(text(&delivery), n.to_string());
        consumer.finish(delivery, Vec::new()).unwrap();
    }
    assert!(consumer.settle(PATIENCE).unwrap());
    nothing(&*consumer);
}

pub fn what_is_acknowledged_is_gone(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker
        .publish_all(&[letter(&queue, "a"), letter(&queue, "b")])
        .unwrap();
    let consumer = consume(&*broker, &queue, 10);
    let (a, b) = (next(&*consumer), next(&*consumer));
    assert!(consumer.ack(b).unwrap());
    assert!(consumer.ack(a).unwrap());
    drop(consumer);
    nothing(&*consume(&*broker, &queue, 10));
}

pub fn what_is_held_comes_again_when_its_consumer_goes(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker
        .publish_all(&[
            letter(&queue, "a"),
            letter(&queue, "b"),
            letter(&queue, "c"),
        ])
        .unwrap();
    let consumer = consume(&*broker, &queue, 10);
    let (a, b) = (next(&*consumer), next(&*consumer));
    assert!(consumer.ack(a).unwrap());
    drop(consumer);
    let other = place.open();
    let consumer = consume(&*other, &queue, 10);
    let again = next(&*consumer);
    assert_eq!(text(&again), "b");
    assert!(again.redelivered && again.deliveries > 1, "{again:?}");
    let c = next(&*consumer);
    assert_eq!(text(&c), "c");
    // What came by a consumer that is gone is nobody's any more.
    assert!(!consumer.ack(b).unwrap());
    assert!(consumer.ack(again).unwrap() && consumer.ack(c).unwrap());
    drop(consumer);
    nothing(&*consume(&*broker, &queue, 10));
}

pub fn prefetch_limits_what_is_held(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    let letters: Vec<_> = (0..5).map(|n| letter(&queue, &n.to_string())).collect();
    broker.publish_all(&letters).unwrap();
    let consumer = consume(&*broker, &queue, 2);
    let (first, _second) = (next(&*consumer), next(&*consumer));
    nothing(&*consumer);
    let other = consume(&*broker, &queue, 1);
    assert_eq!(text(&next(&*other)), "2");
    assert!(consumer.ack(first).unwrap());
    assert_eq!(text(&next(&*consumer)), "3");
    nothing(&*consumer);
}

pub fn what_is_given_back_comes_again(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker
        .publish_all(&[letter(&queue, "a"), letter(&queue, "b")])
        .unwrap();
    let consumer = consume(&*broker, &queue, 1);
    assert!(consumer.requeue(next(&*consumer), Duration::ZERO).unwrap());
    let again = next(&*consumer);
    assert_eq!(text(&again), "a");
    assert!(again.redelivered);
    assert!(consumer.ack(again).unwrap());
    assert_eq!(text(&next(&*consumer)), "b");
}

pub fn delayed_messages_come_later(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    let consumer = consume(&*broker, &queue, 10);
    let delay = Duration::from_millis(1_500);
    let sent = Instant::now();
    let late = Letter {
        delay,
        ..letter(&queue, "late")
    };
    broker
        .publish_all(&[late, letter(&queue, "at once")])
        .unwrap();
    assert_eq!(text(&next(&*consumer)), "at once");
    let late = next(&*consumer);
    assert_eq!(text(&late), "late");
    assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
    assert!(
        !late.redelivered && late.message.headers.is_empty(),
        "{late:?}"
    );
}

pub fn given_back_with_a_delay(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker.publish(&letter(&queue, "a")).unwrap();
    let consumer = consume(&*broker, &queue, 1);
    for round in 1..=3 {
        let delivery = next(&*consumer);
        assert_eq!(delivery.deliveries, round);
        assert_eq!(delivery.redelivered, round > 1);
        let (given, delay) = (Instant::now(), Duration::from_millis(700));
        assert!(consumer.requeue(delivery, delay).unwrap());
        nothing(&*consumer);
        assert!(given.elapsed() >= GLANCE);
    }
    assert!(consumer.ack(next(&*consumer)).unwrap());
    nothing(&*consumer);
}

pub fn rejected_messages_are_kept_aside(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker.publish(&letter(&queue, "garbage")).unwrap();
    let consumer = consume(&*broker, &queue, 1);
    assert!(consumer.reject(next(&*consumer), "no such task").unwrap());
    nothing(&*consumer);
    let dead = dead_queue(&queue.name);
    assert_eq!(dead.name, format!("{}.dead", queue.name));
    until("one dead", || {
        broker.depth(&dead.name).unwrap().messages == 1
    });
    let consumer = consume(&*broker, &dead, 1);
    let delivery = next(&*consumer);
    assert_eq!(text(&delivery), "garbage");
    let death = &delivery.message.headers[DEATH_HEADER];
    assert_eq!(death["reason"], "no such task");
    assert_eq!(death["queue"], queue.name.as_str());
    assert_eq!(death["deliveries"], 1);
}

pub fn delivered_too_often(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker.publish(&letter(&queue, "poison")).unwrap();
    let options = ConsumeOptions {
        prefetch: 1,
        max_deliveries: Some(3),
    };
    for round in 1..=3 {
        let consumer = broker
            .consume(std::slice::from_ref(&queue), &options)
            .unwrap();
        let delivery = next(&*consumer);
        assert_eq!(delivery.deliveries, round);
        // It takes its worker with it.
    }
    let consumer = broker
        .consume(std::slice::from_ref(&queue), &options)
        .unwrap();
    broker.publish(&letter(&queue, "harmless")).unwrap();
    let harmless = next(&*consumer);
    assert_eq!(text(&harmless), "harmless");
    assert!(consumer.ack(harmless).unwrap());
    until("it is put aside", || {
        nothing(&*consumer);
        broker
            .depth(&dead_queue(&queue.name).name)
            .is_ok_and(|dead| dead.messages == 1)
    });
    let dead = consume(&*broker, &dead_queue(&queue.name), 1);
    let delivery = next(&*dead);
    assert_eq!(text(&delivery), "poison");
    assert_eq!(delivery.message.headers[DEATH_HEADER]["deliveries"], 4);
}

pub fn one_that_waits_is_woken_up(place: &Place) {
    let (here, there) = (place.open(), place.open());
    let queue = queue(&*here);
    let consumer = consume(&*here, &queue, 1);
    for round in 0..20 {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| next(&*consumer));
            std::thread::sleep(Duration::from_millis(10));
            there.publish(&letter(&queue, &round.to_string())).unwrap();
            let delivery = waiting.join().unwrap();
            assert_eq!(text(&delivery), round.to_string());
            assert!(consumer.ack(delivery).unwrap());
        });
    }
}

pub fn queues_are_added_and_cancelled(place: &Place) {
    let broker = place.open();
    let (one, other) = (queue(&*broker), queue(&*broker));
    let consumer = consume(&*broker, &one, 5);
    broker.publish(&letter(&other, "a")).unwrap();
    nothing(&*consumer);
    consumer.add(&other).unwrap();
    consumer.add(&other).unwrap();
    assert_eq!(consumer.queues(), [one.name.as_str(), other.name.as_str()]);
    let held = next(&*consumer);
    assert_eq!(
        (text(&held).as_str(), held.queue.as_str()),
        ("a", other.name.as_str())
    );
    broker
        .publish_all(&[letter(&other, "b"), letter(&other, "c")])
        .unwrap();
    until("they are here", || {
        broker.depth(&other.name).unwrap().messages == 0
    });
    assert!(consumer.cancel(&other.name).unwrap());
    assert!(!consumer.cancel(&other.name).unwrap());
    // What was not looked at goes to others, what is held stays ours.
    nothing(&*consumer);
    let second = consume(&*broker, &other, 5);
    assert_eq!(text(&next(&*second)), "b");
    assert_eq!(text(&next(&*second)), "c");
    assert!(consumer.ack(held).unwrap());
    broker.publish(&letter(&one, "d")).unwrap();
    assert_eq!(text(&next(&*consumer)), "d");
}

pub fn consumers_share_the_work(place: &Place) {
    let publisher = place.open();
    let queue = queue(&*publisher);
    let count = 600;
    let seen = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let broker = place.open();
                let consumer = broker
                    .consume(std::slice::from_ref(&queue), &prefetch(8))
                    .unwrap();
                while seen.lock().unwrap().len() < count {
                    if let Some(delivery) = consumer.next(GLANCE).unwrap() {
                        seen.lock().unwrap().push(text(&delivery));
                        consumer.finish(delivery, Vec::new()).unwrap();
                    }
                }
                assert!(consumer.settle(PATIENCE).unwrap());
            });
        }
        let letters: Vec<_> = (0..count).map(|n| letter(&queue, &n.to_string())).collect();
        for some in letters.chunks(50) {
            publisher.publish_all(some).unwrap();
        }
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), count);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), count);
}

pub fn large_messages(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    let body: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut large = message("");
    large.body = body.clone();
    broker
        .publish(&Letter::new(queue.name.as_str(), large))
        .unwrap();
    let consumer = consume(&*broker, &queue, 1);
    assert!(next(&*consumer).message.body == body);
}
