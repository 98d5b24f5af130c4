use crate::given::{Place, consume, message, next, nothing, text};
use crate::rabbit::Rabbit;
use omega::broker::{Queue, Topic};

pub fn commands_reach_all_workers(place: &Place) {
    let (client, workers) = (place.open(), [place.open(), place.open(), place.open()]);
    let listening: Vec<_> = workers
        .iter()
        .map(|worker| consume(&**worker, &Queue::control(&Rabbit::name("om@host")), 10))
        .collect();
    let id = Rabbit::name("ping");
    client.post(Topic::Control, "", &message(&id)).unwrap();
    for consumer in &listening {
        // Other tests may command, too.
        loop {
            let delivery = next(&**consumer);
            let found = text(&delivery) == id;
            assert!(consumer.ack(delivery).unwrap());
            if found {
                break;
            }
        }
    }
}

pub fn answers_reach_who_asked(place: &Place) {
    let (client, other, worker) = (place.open(), place.open(), place.open());
    let (id, other_id) = (Rabbit::name("asked"), Rabbit::name("asked"));
    let answers = consume(&*client, &Queue::control_replies(&id), 10);
    let others = consume(&*other, &Queue::control_replies(&other_id), 10);
    worker.post(Topic::Replies, &id, &message("pong")).unwrap();
    assert_eq!(text(&next(&*answers)), "pong");
    nothing(&*others);
}

pub fn events_reach_who_listens_to_them(place: &Place) {
    let (worker, monitor) = (place.open(), place.open());
    let all = consume(&*monitor, &Queue::events(&Rabbit::name("all"), "#"), 10);
    let id = Rabbit::name("mine");
    let some = consume(&*monitor, &Queue::events(&id, &format!("{id}.*")), 10);
    worker
        .post(Topic::Events, &format!("{id}.heartbeat"), &message("beat"))
        .unwrap();
    worker
        .post(Topic::Events, "task.multi", &message("tasks"))
        .unwrap();
    assert_eq!(text(&next(&*some)), "beat");
    nothing(&*some);
    let mut seen = Vec::new();
    while !(seen.contains(&"beat".to_owned()) && seen.contains(&"tasks".to_owned())) {
        let delivery = next(&*all);
        seen.push(text(&delivery));
        assert!(all.ack(delivery).unwrap());
    }
}

pub fn posting_to_nobody_is_no_error(place: &Place) {
    let worker = place.open();
    worker
        .post(Topic::Replies, &Rabbit::name("nobody"), &message("pong"))
        .unwrap();
    worker
        .post(Topic::Events, "worker.online", &message("here"))
        .unwrap();
}
