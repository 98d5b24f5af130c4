use crate::given::{Place, consume, letter, message, next, nothing, prefetch, queue, until};
use crate::rabbit::Rabbit;
use omega::ErrorKind;
use omega::broker::{Depth, Letter, Lifetime, Queue};

pub fn publishing_needs_a_queue(place: &Place) {
    let broker = place.open();
    let missing = Queue::task(Rabbit::name("missing"));
    let there = queue(&*broker);
    let error = broker.publish(&letter(&missing, "x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains(&missing.name), "{error}");
    let letters = [letter(&there, "a"), letter(&missing, "b")];
    assert_eq!(
        broker.publish_all(&letters).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let mut delayed = letter(&missing, "x");
    delayed.delay = std::time::Duration::from_secs(1);
    assert_eq!(
        broker.publish(&delayed).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    for error in [
        broker.depth(&missing.name).unwrap_err(),
        broker.purge(&missing.name).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    // The broker is none the worse for it.
    broker.publish(&letter(&there, "c")).unwrap();
}

pub fn depth_counts_what_waits(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker.declare(&queue).unwrap();
    let depth = |messages, consumers| Depth {
        messages,
        consumers,
    };
    assert_eq!(broker.depth(&queue.name).unwrap(), depth(0, 0));
    for text in ["a", "b", "c"] {
        broker.publish(&letter(&queue, text)).unwrap();
    }
    until("three messages", || {
        broker.depth(&queue.name).unwrap() == depth(3, 0)
    });
    let consumer = consume(&*broker, &queue, 1);
    let held = next(&*consumer);
    until("one held", || {
        broker.depth(&queue.name).unwrap() == depth(2, 1)
    });
    drop((held, consumer));
    until("all back", || {
        broker.depth(&queue.name).unwrap() == depth(3, 0)
    });
}

pub fn purge_and_delete_say_what_they_did(place: &Place) {
    let broker = place.open();
    let queue = queue(&*broker);
    broker
        .publish_all(&[letter(&queue, "a"), letter(&queue, "b")])
        .unwrap();
    assert_eq!(broker.purge(&queue.name).unwrap(), 2);
    assert_eq!(broker.purge(&queue.name).unwrap(), 0);
    broker.publish(&letter(&queue, "c")).unwrap();
    assert!(broker.delete(&queue.name).unwrap());
    assert!(!broker.delete(&queue.name).unwrap());
    assert_eq!(
        broker.depth(&queue.name).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

pub fn a_queue_of_replies_ends_with_its_consumer(place: &Place) {
    let broker = place.open();
    let replies = Queue::reply(Rabbit::name("replies"), Lifetime::Consumer);
    let consumer = consume(&*broker, &replies, 10);
    broker
        .publish(&Letter::new(replies.name.as_str(), message("done")))
        .unwrap();
    let reply = next(&*consumer);
    assert!(consumer.ack(reply).unwrap());
    drop(consumer);
    until("the queue has gone", || {
        broker.depth(&replies.name).is_err()
    });
}

pub fn a_queue_of_replies_outlives_its_client(place: &Place) {
    let replies = Queue::reply(Rabbit::name("replies"), Lifetime::Expiry);
    {
        let client = place.open();
        client.declare(&replies).unwrap();
        drop(consume(&*client, &replies, 1));
    }
    let worker = place.open();
    worker.publish(&letter(&replies, "done")).unwrap();
    drop(worker);
    let later = place.open();
    let consumer = consume(&*later, &replies, 1);
    let reply = next(&*consumer);
    // Whoever looks may leave it for others.
    assert!(consumer.requeue(reply, std::time::Duration::ZERO).unwrap());
    assert!(consumer.cancel(&replies.name).unwrap());
    drop(consumer);
    let consumer = consume(&*later, &replies, 1);
    assert!(consumer.ack(next(&*consumer)).unwrap());
    nothing(&*consumer);
    drop(consumer);
    assert!(later.delete(&replies.name).unwrap());
}

pub fn a_listener_is_one_consumers_own(place: &Place) {
    let (one, other) = (place.open(), place.open());
    let control = Queue::control(&Rabbit::name("om@host"));
    let consumer = consume(&*one, &control, 1);
    let error = other
        .consume(std::slice::from_ref(&control), &prefetch(1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    drop(consumer);
    until("the name is free", || {
        other
            .consume(std::slice::from_ref(&control), &prefetch(1))
            .is_ok()
    });
}
