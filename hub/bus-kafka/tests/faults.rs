//! Faults on a real three-broker cluster. One at a time: each test has the cluster for itself and leaves it whole.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::{Bus, BusError};
use minqiao_bus_kafka::{KafkaBus, KafkaOptions, Password, Security};
use support::{Cluster, Names, all, insist, message, open, options};
use tokio::sync::{Mutex, MutexGuard};

/// `tests/run` runs these beside the compiler, and skips them by this name in its other tests.
mod killed_brokers {
    use super::*;

    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

    /// The cluster, whole, for one test.
    async fn cluster() -> Option<(Cluster, MutexGuard<'static, ()>)> {
        let cluster = Cluster::of_three()?;
        let alone = ONE_AT_A_TIME.lock().await;
        start_all(&cluster);
        Some((cluster, alone))
    }

    /// Starts what does not run; the last one to start waits for all.
    fn start_all(cluster: &Cluster) {
        for broker in 1..=3 {
            cluster.ask("start-one", Some(broker));
        }
    }

    /// Starts the brokers again also when the test fails.
    struct Whole<'a>(&'a Cluster);

    impl Drop for Whole<'_> {
        fn drop(&mut self) {
            start_all(self.0);
        }
    }

    /// What was acknowledged: offset to (batch, first row).
    type Acknowledged = BTreeMap<u64, (String, u32)>;

    /// Writers that append one call after the other until told to stop, and what they had acknowledged.
    fn writers(
        bus: &Arc<KafkaBus>,
        topic: &str,
        stop: &tokio::sync::watch::Receiver<bool>,
    ) -> Vec<tokio::task::JoinHandle<Acknowledged>> {
        (0..4)
            .map(|writer| {
                let (bus, topic, stop) = (Arc::clone(bus), topic.to_owned(), stop.clone());
                tokio::spawn(async move {
                    let batch = format!("w{writer}");
                    let mut acknowledged = Acknowledged::new();
                    for call in 0.. {
                        if *stop.borrow() {
                            break;
                        }
                        let sent: Vec<_> =
                            (0..3).map(|row| message(&batch, call * 3 + row, vec![writer; 2_000])).collect();
                        let positions = insist(&*bus, &topic, 0, &sent).await;
                        for (message, position) in sent.iter().zip(positions) {
                            let row = message.headers.span.first_row;
                            let twice = acknowledged.insert(position, (batch.clone(), row));
                            assert_eq!(twice, None, "one position for two messages");
                        }
                    }
                    acknowledged
                })
            })
            .collect()
    }

    /// Everything acknowledged is where it was said to be, nothing is there twice, and each writer's rows are in order.
    async fn check(bus: &KafkaBus, topic: &str, acknowledged: &Acknowledged) {
        let records = all(bus, topic, 0).await;
        for (position, (batch, row)) in acknowledged {
            let record = &records[usize::try_from(*position).expect("small")];
            assert_eq!((&record.headers.batch_id, record.headers.span.first_row), (batch, *row), "at {position}");
        }
        let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for record in &records {
            rows.entry(&record.headers.batch_id).or_default().push(record.headers.span.first_row);
        }
        for (batch, rows) in rows {
            let once: Vec<u32> = (0..).take(rows.len()).collect();
            assert_eq!(rows, once, "rows of {batch} are doubled, lost or out of order");
        }
    }

    /// Brokers that share a busy machine may be too slow to answer once; whoever waits asks again.
    async fn end_beyond(bus: &KafkaBus, topic: &str, beyond: u64) {
        let until = tokio::time::Instant::now() + Duration::from_secs(180);
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match bus.wait(topic, 0, beyond, left).await {
                Ok(end) => return assert!(end > beyond, "nothing new within three minutes after {beyond}"),
                Err(BusError::TimedOut { .. }) if !left.is_zero() => {}
                Err(error) => panic!("the end is not known: {error}"),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killing_leaders_loses_doubles_and_reorders_nothing() {
        let Some((cluster, _alone)) = cluster().await else { return };
        let _whole = Whole(&cluster);
        let names = Names::new(&cluster.bootstrap);
        let topic = names.topic("leader");
        let bus = open(&options(&cluster.bootstrap)).await;
        bus.ensure_topic(&topic, 1).await.expect("made");
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writers = writers(&bus, &topic, &stopped);
        let mut leaders = Vec::new();
        for _ in 0..3 {
            end_beyond(&bus, &topic, bus.end_offset(&topic, 0).await.expect("end") + 20).await;
            let (leader, _) = cluster.leader(&topic, 0);
            cluster.ask("kill", Some(leader));
            let (after, _) = wait_for_leader(&cluster, &topic, |now, _| now != leader && now > 0).await;
            assert_ne!(leader, after, "the fault did not fire");
            leaders.push(leader);
            end_beyond(&bus, &topic, bus.end_offset(&topic, 0).await.expect("end") + 20).await;
            cluster.ask("start-one", Some(leader));
            // Two of three must stay for every append: the next leader dies only when this one is back.
            wait_for_leader(&cluster, &topic, |_, in_sync| in_sync == 3).await;
        }
        stop.send_replace(true);
        let mut acknowledged = Acknowledged::new();
        for writer in writers {
            acknowledged.extend(writer.await.expect("a writer ends"));
        }
        assert!(acknowledged.len() > 120, "only {} messages went through", acknowledged.len());
        eprintln!("killed leaders {leaders:?}; {} messages acknowledged", acknowledged.len());
        check(&bus, &topic, &acknowledged).await;
        // Another process reads the same.
        check(&*open(&options(&cluster.bootstrap)).await, &topic, &acknowledged).await;
    }

    async fn wait_for_leader(cluster: &Cluster, topic: &str, enough: impl Fn(i32, usize) -> bool) -> (i32, usize) {
        let until = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            let (leader, in_sync) = cluster.leader(topic, 0);
            if enough(leader, in_sync.len()) {
                return (leader, in_sync.len());
            }
            assert!(tokio::time::Instant::now() < until, "leader {leader}, in sync {in_sync:?} after two minutes");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_brokers_everything_fails_in_time_and_comes_back() {
        let Some((cluster, _alone)) = cluster().await else { return };
        let _whole = Whole(&cluster);
        let names = Names::new(&cluster.bootstrap);
        let topic = names.topic("down");
        let short = KafkaOptions { append_timeout_ms: 3_000, request_timeout_ms: 3_000, ..options(&cluster.bootstrap) };
        let (bus, patient) = (open(&short).await, open(&options(&cluster.bootstrap)).await);
        patient.ensure_topic(&topic, 1).await.expect("made");
        assert_eq!(patient.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended"), [0]);
        insist(&*bus, &topic, 0, &[message("b", 1, "x")]).await;
        for broker in 1..=3 {
            cluster.ask("kill", Some(broker));
        }
        // Under a deadline far beyond the configured ones: nothing may hang.
        let failed = tokio::time::timeout(Duration::from_secs(60), async {
            let append = bus.append(&topic, 0, vec![message("b", 2, "x")]).await;
            let again = bus.append(&topic, 0, vec![message("b", 2, "x")]).await;
            let end = bus.end_offset(&topic, 0).await.map(drop);
            let wait = bus.wait(&topic, 0, 5, Duration::from_secs(1)).await.map(drop);
            let ensure = bus.ensure_topic(&names.topic("never"), 1).await.map(drop);
            let topics = bus.topics().await.map(drop);
            let opened = KafkaBus::open(short.clone()).await.map(drop);
            [append.map(drop), again.map(drop), end, wait, ensure, topics, opened]
        });
        for (which, outcome) in failed.await.expect("nothing hangs").into_iter().enumerate() {
            assert!(matches!(outcome, Err(BusError::TimedOut { .. })), "operation {which}: {outcome:?}");
        }
        // One that was begun while they were away and waits long enough is answered when they are back.
        let waiting = tokio::spawn({
            let (patient, topic) = (Arc::clone(&patient), topic.clone());
            async move { insist(&*patient, &topic, 0, &[message("c", 0, "x")]).await }
        });
        start_all(&cluster);
        let waited = waiting.await.expect("the waiter ends");
        let positions = insist(&*bus, &topic, 0, &[message("b", 2, "x"), message("b", 3, "x")]).await;
        let records = all(&*bus, &topic, 0).await;
        let named: Vec<_> = records.iter().map(|r| (r.headers.batch_id.as_str(), r.headers.span.first_row)).collect();
        assert_eq!(named.len(), 5, "{named:?}");
        for (position, expected) in waited.iter().chain(&positions).zip([("c", 0), ("b", 2), ("b", 3)]) {
            assert_eq!(named[usize::try_from(*position).expect("small")], expected);
        }
        assert_eq!(bus.figures().producers_replaced, 0, "an outage is no reason for a new producer");
    }

    /// What was sent and not acknowledged is found in the log by the next process, and stored once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_died_during_an_outage_leaves_no_doubles() {
        let Some((cluster, _alone)) = cluster().await else { return };
        let _whole = Whole(&cluster);
        let names = Names::new(&cluster.bootstrap);
        let topic = names.topic("unknown");
        let short = KafkaOptions { append_timeout_ms: 2_000, only_writer: true, ..options(&cluster.bootstrap) };
        let bus = open(&short).await;
        bus.ensure_topic(&topic, 1).await.expect("made");
        insist(&*bus, &topic, 0, &[message("b", 0, "x")]).await;
        // With one broker left, the leader takes the message and nobody acknowledges it.
        let (leader, _) = cluster.leader(&topic, 0);
        for broker in (1..=3).filter(|broker| *broker != leader) {
            cluster.ask("kill", Some(broker));
        }
        let unknown = bus.append(&topic, 0, vec![message("b", 1, "x")]).await;
        assert!(matches!(unknown, Err(BusError::TimedOut { .. })), "the fault did not fire: {unknown:?}");
        drop(bus);
        start_all(&cluster);
        let bus = open(&options(&cluster.bootstrap)).await;
        insist(&*bus, &topic, 0, &[message("b", 1, "x"), message("b", 2, "x")]).await;
        let rows: Vec<_> = all(&*bus, &topic, 0).await.iter().map(|record| record.headers.span.first_row).collect();
        assert_eq!(rows, [0, 1, 2]);
    }

    /// The secured listener of a cluster that was started with `--tls-sasl`.
    struct Secure {
        values: BTreeMap<String, String>,
    }

    impl Secure {
        fn of(cluster: &Cluster) -> Option<Self> {
            let Ok(text) = std::fs::read_to_string(cluster.dir.join("secure.env")) else {
                minqiao_tests::servers::not_run("kafka", "its folder is not of a cluster started with --tls-sasl");
                return None;
            };
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let values = pairs
                .map(|(key, value)| (key.trim_start_matches("MINQIAO_KAFKA_SECURE_").to_owned(), value.to_owned()));
            let mut values: BTreeMap<String, String> = values.collect();
            let file = cluster.dir.join("password");
            std::fs::write(&file, format!("{}\n", values["PASSWORD"])).expect("written");
            values.insert("PASSWORD_FILE".to_owned(), file.display().to_string());
            Some(Self { values })
        }

        fn options(&self) -> KafkaOptions {
            let scram = Security::SaslScram {
                ca: self.values["CA"].as_str().into(),
                username: self.values["USER"].clone(),
                password: None,
                password_file: Some(self.values["PASSWORD_FILE"].as_str().into()),
            };
            KafkaOptions { security: scram, ..options(&self.values["BOOTSTRAP"]) }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tls_and_scram_admit_who_knows_the_password() {
        let Some((cluster, _alone)) = cluster().await else { return };
        let Some(secure) = Secure::of(&cluster) else { return };
        let names = Names::new(&cluster.bootstrap);
        let topic = names.topic("secure");
        let bus = open(&secure.options()).await;
        let made = bus.ensure_topic(&topic, 1).await.expect("made");
        assert_eq!(bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended"), [0]);
        assert_eq!(all(&*bus, &topic, 0).await.len(), 1);
        let plain = open(&options(&cluster.bootstrap)).await;
        assert_eq!(plain.ensure_topic(&topic, 1).await.expect("the same topic"), made);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tls_and_scram_refuse_everybody_else() {
        let Some((cluster, _alone)) = cluster().await else { return };
        let Some(secure) = Secure::of(&cluster) else { return };
        let right = secure.options();
        let Security::SaslScram { ca, username, .. } = right.security.clone() else { unreachable!("made above") };
        let password = secure.values["PASSWORD"].clone();
        let wrong_password = Security::SaslScram {
            ca: ca.clone(),
            username,
            password: Some(Password::new("guessed")),
            password_file: None,
        };
        let stranger = Security::SaslScram {
            ca: ca.clone(),
            username: "stranger".to_owned(),
            password: Some(Password::new(password.as_str())),
            password_file: None,
        };
        let other_ca = Security::SaslScram {
            ca: secure.values["OTHER_CA"].as_str().into(),
            username: secure.values["USER"].clone(),
            password: Some(Password::new(password.as_str())),
            password_file: None,
        };
        for (case, security) in
            [("wrong password", wrong_password), ("stranger", stranger), ("other authority", other_ca)]
        {
            let refused = tokio::time::timeout(
                Duration::from_secs(60),
                KafkaBus::open(KafkaOptions { security, request_timeout_ms: 20_000, ..right.clone() }),
            );
            let refused = refused.await.expect("nothing hangs");
            let Err(error) = refused else { panic!("{case} was admitted") };
            assert!(matches!(error, BusError::AccessDenied { .. }), "{case}: {error:?}");
            assert!(!format!("{error} {error:?}").contains(&password), "the password is in the error");
        }
        // Without TLS the port says nothing that could be understood; the reason is silence, in bounded time.
        let plain = KafkaOptions { security: Security::Plaintext, request_timeout_ms: 3_000, ..right.clone() };
        let refused =
            tokio::time::timeout(Duration::from_secs(60), KafkaBus::open(plain)).await.expect("nothing hangs");
        assert!(matches!(refused, Err(BusError::TimedOut { .. })), "{refused:?}");
        // And TLS to a port without it, where the broker hangs up.
        let tls = KafkaOptions {
            security: Security::Tls { ca, cert: None, key: None },
            request_timeout_ms: 3_000,
            ..options(&cluster.bootstrap)
        };
        let refused = tokio::time::timeout(Duration::from_secs(60), KafkaBus::open(tls)).await.expect("nothing hangs");
        let Err(refused) = refused else { panic!("TLS was spoken to a port without it") };
        assert!(matches!(refused, BusError::AccessDenied { .. } | BusError::TimedOut { .. }), "{refused:?}");
        assert!(refused.to_string().contains("TLS") || refused.to_string().contains("`security`"), "{refused}");
    }
}
