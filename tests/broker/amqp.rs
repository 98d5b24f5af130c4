//! What can happen to RabbitMQ and to the network in between, and what others have made
//! there.

use crate::given::{
    GLANCE, PATIENCE, Place, consume, letter, message, next, nothing, queue, text, until,
};
use crate::rabbit::{PASSWORD, Rabbit, USER, rabbit};
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use omega::ErrorKind;
use omega::broker::amqp::AmqpBroker;
use omega::broker::{Broker, Letter, Lifetime, Options, Queue, Topic};
use omega::config::{AmqpSettings, Url};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn endless() -> Options {
    Options {
        endless: true,
        timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

fn hasty() -> Options {
    Options {
        timeout: Duration::from_secs(2),
        ..Options::default()
    }
}

/// Publishes and works on tasks while something happens; nothing that was confirmed is lost,
/// and the work goes on.
fn survives(place: &Place, during: impl FnOnce(&dyn Fn(u64))) {
    let (client, worker) = (place.open_with(endless()), place.open_with(endless()));
    let tasks = queue(&*client);
    let replies = queue(&*client);
    let consumer = consume(&*worker, &tasks, 10);
    let (confirmed, done) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    let stop = AtomicU8::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while stop.load(Ordering::SeqCst) == 0 {
                let n = confirmed.load(Ordering::SeqCst);
                client.publish(&letter(&tasks, &n.to_string())).unwrap();
                confirmed.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            loop {
                let count = confirmed.load(Ordering::SeqCst);
                let all = done.lock().unwrap().len() as u64 >= count;
                if stop.load(Ordering::SeqCst) == 1 && all {
                    break;
                }
                if let Some(task) = consumer.next(GLANCE).unwrap() {
                    done.lock().unwrap().insert(text(&task));
                    let reply = letter(&replies, &text(&task));
                    consumer.finish(task, vec![reply]).unwrap();
                }
            }
        });
        let more = |count: u64| {
            let goal = done.lock().unwrap().len() as u64 + count;
            until("more is done", || done.lock().unwrap().len() as u64 >= goal);
        };
        during(&more);
        stop.store(1, Ordering::SeqCst);
    });
    assert!(consumer.settle(PATIENCE).unwrap());
    drop(consumer);
    let consumer = consume(&*client, &replies, 500);
    let mut answered = BTreeSet::new();
    while answered.len() < done.lock().unwrap().len() {
        let reply = next(&*consumer);
        answered.insert(text(&reply));
        consumer.finish(reply, Vec::new()).unwrap();
    }
}

#[test]
fn a_broker_that_is_killed_and_comes_back() {
    let server = Rabbit::start();
    survives(&Place::at(&server.url()), |more| {
        more(50);
        server.kill();
        std::thread::sleep(Duration::from_secs(1));
        server.restart();
        server.wait();
        more(50);
    });
    server.kill();
}

#[test]
fn a_task_that_takes_longer_than_the_broker_allows() {
    let impatient = "[{rabbit, [{consumer_timeout, 1000}, {channel_tick_interval, 500}]}].";
    let server = Rabbit::start_with(impatient);
    let broker = Place::at(&server.url()).open_with(endless());
    let tasks = queue(&*broker);
    broker.publish(&letter(&tasks, "long")).unwrap();
    let consumer = consume(&*broker, &tasks, 1);
    let long = next(&*consumer);
    // RabbitMQ closes the channel; the consumer has another, and the message comes again.
    let again = next(&*consumer);
    assert_eq!(text(&again), "long");
    assert!(again.redelivered);
    // Who knows that it was done meanwhile says so where it counts.
    assert!(!consumer.ack(long).unwrap());
    assert!(consumer.ack(again).unwrap());
    nothing(&*consumer);
    server.kill();
}

/// What a proxy does with what comes.
const PASS: u8 = 0;
const HOLD: u8 = 1;
const CUT: u8 = 2;

/// A port that leads to the server, as well as the network is at the moment.
fn proxy(server: u16, network: &Arc<AtomicU8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let network = network.clone();
    std::thread::spawn(move || {
        for here in listener.incoming().flatten() {
            if network.load(Ordering::SeqCst) == CUT {
                continue;
            }
            let Ok(there) = TcpStream::connect(("127.0.0.1", server)) else {
                continue;
            };
            for (from, to) in [(&here, &there), (&there, &here)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let network = network.clone();
                std::thread::spawn(move || pass(from, to, &network));
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream, network: &AtomicU8) {
    let mut bytes = [0; 16 * 1024];
    from.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    loop {
        match network.load(Ordering::SeqCst) {
            CUT => break,
            HOLD => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            _ => {}
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_network_that_is_cut_or_silent() {
    let network = Arc::new(AtomicU8::new(PASS));
    let port = proxy(rabbit().port, &network);
    survives(&Place::at(&rabbit().url_by(port)), |more| {
        for trouble in [CUT, HOLD, CUT] {
            more(30);
            network.store(trouble, Ordering::SeqCst);
            // Longer than two heartbeats.
            std::thread::sleep(Duration::from_secs(6));
            network.store(PASS, Ordering::SeqCst);
        }
        more(30);
    });
}

#[test]
fn one_that_waits_for_a_reply_gets_it_after_a_cut() {
    let network = Arc::new(AtomicU8::new(PASS));
    let port = proxy(rabbit().port, &network);
    let client = Place::at(&rabbit().url_by(port)).open_with(hasty());
    let worker = Place::rabbitmq().open();
    let replies = Queue::reply(Rabbit::name("replies"), Lifetime::Expiry);
    let consumer = consume(&*client, &replies, 1);
    network.store(CUT, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(1));
    worker.publish(&letter(&replies, "done")).unwrap();
    network.store(PASS, Ordering::SeqCst);
    let reply = next(&*consumer);
    assert_eq!(text(&reply), "done");
    assert!(consumer.ack(reply).unwrap());
    drop(consumer);
    assert!(client.delete(&replies.name).unwrap());
}

#[test]
fn what_came_before_a_cut_is_not_acknowledged_after_it() {
    let network = Arc::new(AtomicU8::new(PASS));
    let port = proxy(rabbit().port, &network);
    let broker = Place::at(&rabbit().url_by(port)).open_with(endless());
    let tasks = queue(&*broker);
    broker.publish(&letter(&tasks, "long")).unwrap();
    let consumer = consume(&*broker, &tasks, 1);
    let long = next(&*consumer);
    network.store(CUT, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(1));
    network.store(PASS, Ordering::SeqCst);
    let again = next(&*consumer);
    assert!(again.redelivered);
    assert!(!consumer.ack(long).unwrap());
    assert!(consumer.ack(again).unwrap());
    nothing(&*consumer);
}

/// A server that answers so, and keeps the connection open.
fn impostor(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(answer);
            open.push(stream);
        }
    });
    port
}

#[test]
fn what_is_no_broker_is_unreachable_in_one_attempt() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for port in [
        closed,
        impostor(b""),
        impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        impostor(b"\x01\x00\x00\x7f\xff\xff\xff garbage that never ends"),
        impostor(b"AMQP\0\x01\0\0"),
    ] {
        let broker = Place::at(&rabbit().url_by(port)).open_with(hasty());
        let tasks = Queue::task("tasks");
        for error in [
            broker.publish(&letter(&tasks, "x")).unwrap_err(),
            broker.declare(&tasks).unwrap_err(),
            broker
                .consume(&[tasks], &crate::given::prefetch(1))
                .unwrap_err(),
            broker.post(Topic::Events, "x", &message("x")).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{port}: {error}");
            assert!(error.to_string().contains("127.0.0.1"), "{error}");
            assert!(!format!("{error:?}").contains(PASSWORD), "{error}");
            assert!(error.hint_text().is_some());
        }
    }
}

#[test]
fn who_may_not_is_told_so() {
    let port = rabbit().port;
    for url in [
        format!("amqp://{USER}:CANARY@127.0.0.1:{port}//"),
        format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{port}/CANARYvhost"),
    ] {
        let broker = Place::at(&url).open_with(hasty());
        let error = broker.declare(&Queue::task("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        let shown = format!("{error:?} {error} {broker:?} {}", broker.location());
        assert!(
            !shown.contains(":CANARY") && !shown.contains(PASSWORD),
            "{shown}"
        );
    }
}

#[test]
fn virtual_hosts_are_apart() {
    let port = rabbit().port;
    let other = Place::at(&format!(
        "amqp://{USER}:{PASSWORD}@localhost:{port}/om%20test"
    ))
    .open();
    let tasks = queue(&*other);
    other.publish(&letter(&tasks, "x")).unwrap();
    let error = Place::rabbitmq().open().depth(&tasks.name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn tls_trusts_the_authority_that_it_is_told_of() {
    let settings = |tls: bool, ca_file| AmqpSettings {
        url: Url::new(format!(
            "amqp://{USER}:{PASSWORD}@localhost:{}//",
            rabbit().tls_port
        )),
        tls,
        ca_file,
    };
    let open = |settings: &AmqpSettings| AmqpBroker::open(settings, hasty()).unwrap();
    let broker = open(&settings(true, Some(rabbit().ca_file())));
    let tasks = queue(&broker);
    broker.publish(&letter(&tasks, "secret")).unwrap();
    assert_eq!(text(&next(&*consume(&broker, &tasks, 1))), "secret");
    // Others are not trusted, and TLS is not what is spoken without being asked to.
    for refused in [settings(true, None), settings(false, None)] {
        let error = open(&refused).declare(&tasks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    }
    let missing = settings(true, Some("/not/there.pem".into()));
    let error = open(&missing).declare(&tasks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("/not/there.pem"), "{error}");
}

/// A client that is not ours.
fn raw<T>(work: impl AsyncFnOnce(&lapin::Channel) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let url = format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}/%2f", rabbit().port);
        let connection = Connection::connect(&url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let result = work(&channel).await;
        connection.close(200, "done".into()).await.unwrap();
        result
    })
}

#[test]
fn queues_and_exchanges_are_those_that_celery_declares() {
    let broker = Place::rabbitmq().open();
    let tasks = queue(&*broker);
    let replies = Queue::reply(Rabbit::name("replies"), Lifetime::Consumer);
    broker.declare(&replies).unwrap();
    let _control = consume(&*broker, &Queue::control_replies(&Rabbit::name("id")), 1);
    broker.post(Topic::Control, "", &message("{}")).unwrap();
    broker
        .post(Topic::Events, "worker.online", &message("{}"))
        .unwrap();
    // Declaring them otherwise would be refused.
    raw(async |channel| {
        let none = FieldTable::default;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let fleeting = ExchangeDeclareOptions::default();
        for (name, kind, options) in [
            (tasks.name.as_str(), ExchangeKind::Direct, durable),
            ("celeryev", ExchangeKind::Topic, durable),
            ("celery.pidbox", ExchangeKind::Fanout, fleeting),
            ("reply.celery.pidbox", ExchangeKind::Direct, fleeting),
        ] {
            channel
                .exchange_declare(name.into(), kind, options, none())
                .await
                .unwrap();
        }
        let durable = QueueDeclareOptions::durable();
        channel
            .queue_declare(tasks.name.as_str().into(), durable, none())
            .await
            .unwrap();
        let mut expires = none();
        expires.insert("x-expires".into(), AMQPValue::LongInt(3_600_000));
        let name = replies.name.as_str().into();
        channel
            .queue_declare(name, durable.auto_delete(), expires)
            .await
            .unwrap();
    });
}

#[test]
fn queues_that_others_made_are_taken_as_they_are() {
    let tasks = Queue::task(Rabbit::name("priorities"));
    raw(async |channel| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-priority".into(), AMQPValue::LongInt(10));
        let durable = QueueDeclareOptions::durable();
        channel
            .queue_declare(tasks.name.as_str().into(), durable, arguments)
            .await
            .unwrap();
    });
    let broker = Place::rabbitmq().open();
    broker.declare(&tasks).unwrap();
    for (priority, text) in [(None, "a"), (Some(5), "b"), (Some(9), "c"), (Some(5), "d")] {
        let mut letter = letter(&tasks, text);
        letter.message.properties.priority = priority;
        broker.publish(&letter).unwrap();
    }
    let consumer = consume(&*broker, &tasks, 1);
    for expected in ["c", "b", "d", "a"] {
        let delivery = next(&*consumer);
        assert_eq!(text(&delivery), expected);
        assert!(consumer.ack(delivery).unwrap());
    }
}

#[test]
fn a_queue_that_is_deleted_under_its_consumer_is_made_again() {
    let broker = Place::rabbitmq().open();
    let (tasks, others) = (queue(&*broker), queue(&*broker));
    let consumer = consume(&*broker, &tasks, 2);
    consumer.add(&others).unwrap();
    broker.publish(&letter(&others, "held")).unwrap();
    let held = next(&*consumer);
    assert!(broker.delete(&tasks.name).unwrap());
    until("it is made again", || {
        broker
            .depth(&tasks.name)
            .is_ok_and(|depth| depth.consumers == 1)
    });
    broker.publish(&letter(&tasks, "new")).unwrap();
    assert_eq!(text(&next(&*consumer)), "new");
    // What came from elsewhere is still ours.
    assert!(consumer.ack(held).unwrap());
}

#[test]
fn quorum_queues_count_deliveries() {
    let tasks = Queue::task(Rabbit::name("quorum"));
    raw(async |channel| {
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        let durable = QueueDeclareOptions::durable();
        channel
            .queue_declare(tasks.name.as_str().into(), durable, arguments)
            .await
            .unwrap();
    });
    let broker = Place::rabbitmq().open();
    broker.publish(&letter(&tasks, "a")).unwrap();
    for round in 1..=4 {
        let consumer = consume(&*broker, &tasks, 1);
        let delivery = next(&*consumer);
        assert_eq!(delivery.deliveries, round);
        assert!(delivery.message.headers.is_empty(), "{delivery:?}");
    }
    broker.delete(&tasks.name).unwrap();
}

#[test]
fn python_style_consumers_get_our_messages() {
    let broker = Place::rabbitmq().open();
    let tasks = queue(&*broker);
    let delayed = Letter {
        delay: Duration::from_millis(300),
        ..letter(&tasks, "b")
    };
    broker.publish_all(&[delayed, letter(&tasks, "a")]).unwrap();
    let bodies = raw(async |channel| {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let name = tasks.name.as_str().into();
        let mut consumer = channel
            .basic_consume(name, "".into(), options, FieldTable::default())
            .await
            .unwrap();
        let mut bodies = Vec::new();
        while bodies.len() < 2 {
            let next = std::future::poll_fn(|context| {
                futures_core::Stream::poll_next(std::pin::Pin::new(&mut consumer), context)
            });
            bodies.push(next.await.unwrap().unwrap().data);
        }
        bodies
    });
    assert_eq!(bodies, [b"a".to_vec(), b"b".to_vec()]);
}

#[test]
fn two_hundred_clients_at_once() {
    let place = Place::rabbitmq();
    let broker = place.open();
    let tasks = queue(&*broker);
    let consumer = consume(&*broker, &tasks, 100);
    std::thread::scope(|scope| {
        for client in 0..200 {
            let (place, tasks) = (&place, &tasks);
            scope.spawn(move || {
                let options = Options {
                    timeout: PATIENCE,
                    ..Options::default()
                };
                let broker = place.open_with(options);
                for n in 0..3 {
                    broker
                        .publish(&letter(tasks, &format!("{client}-{n}")))
                        .unwrap();
                }
            });
        }
        let mut seen = BTreeSet::new();
        while seen.len() < 600 {
            let task = next(&*consumer);
            seen.insert(text(&task));
            consumer.finish(task, Vec::new()).unwrap();
        }
    });
}
