//! The agent is killed, the engine is killed, there is no engine, there is no image.

use std::{
    future::{Future, poll_fn},
    os::unix::net::UnixListener,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use agent::workload::{
    Workload,
    docker::{Docker, DockerConfig, Patience, config::Pull},
};

use super::rented::Rented;
use crate::kit::{
    engine::Engine,
    images::{BARE, RICH},
};

/// A run that is not through after so many polls never is.
const POLLS_MAX: u32 = 1_000;
const SIDE_BY_SIDE: u32 = 8;

/// Gives `future` up after it was polled `polls` times.
async fn given_up<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Gives a lease's first run up and runs it again; whether the first one had been through.
async fn run_given_up(engine: &Engine, polls: u32) -> bool {
    // Few directories: they are all filled alike.
    let mut rented =
        Rented::with(engine, RICH, |config| config.writable = vec!["/etc".into(), "/home".into()]);
    let done = given_up(polls, rented.run()).await;
    // Every other time the agent itself is gone with what it remembered.
    if polls.is_multiple_of(2) {
        rented.restarted(|_| {});
    }
    rented.run().await.unwrap_or_else(|e| panic!("given up at poll {polls}: {e}"));
    assert_eq!(rented.docker.running(rented.device).await, Some(3));
    assert_eq!(rented.names(&rented.name()).await, [rented.name()], "given up at poll {polls}");
    assert_eq!(rented.on_volume("home/app/notes"), "of the image\n", "given up at poll {polls}");
    assert!(rented.on_volume("etc/shadow").contains("renter-1:$6$"), "given up at poll {polls}");
    let there = std::fs::read_dir(rented.data().join("root")).unwrap();
    let halves = there.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count();
    assert_eq!(halves, 0, "given up at poll {polls}");
    rented.remove().await;
    done.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_run_is_given_up_the_next_run_succeeds() {
    let Some(engine) = Engine::shared("wherever_run_is_given_up_the_next_run_succeeds") else { return };
    let mut polls = 0;
    loop {
        assert!(polls < POLLS_MAX, "a run takes more than {polls} polls");
        let tries = (1..=SIDE_BY_SIDE).map(|n| tokio::spawn(run_given_up(engine, polls + n)));
        let mut over = false;
        for given_up in tries.collect::<Vec<_>>() {
            over |= given_up.await.unwrap();
        }
        polls += SIDE_BY_SIDE;
        if over {
            break;
        }
    }
    assert!(polls > 20, "only {polls} polls: nothing was given up");
}

#[tokio::test]
async fn what_was_just_being_started_does_not_run_after_a_stop() {
    let Some(engine) = Engine::shared("what_was_just_being_started_does_not_run_after_a_stop") else {
        return;
    };
    for wait_ms in (0..300).step_by(12) {
        let mut rented = Rented::with(engine, BARE, |config| config.writable = vec!["/etc".into()]);
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), rented.run()).await;
        let device = rented.device;
        rented.docker.stop(device).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(rented.docker.running(device).await, None, "given up after {wait_ms} ms");
        rented.remove().await;
    }
}

#[tokio::test]
async fn wherever_stop_and_remove_are_given_up_they_can_be_repeated() {
    let Some(engine) = Engine::shared("wherever_stop_and_remove_are_given_up_they_can_be_repeated") else {
        return;
    };
    let mut rented = Rented::with(engine, BARE, |_| {});
    for polls in 1..12 {
        rented.run().await.unwrap();
        let device = rented.device;
        if given_up(polls, rented.docker.stop(device)).await.is_none() {
            rented.docker.stop(device).await.unwrap();
        }
        assert_eq!(rented.docker.running(device).await, None);
        if given_up(polls, rented.docker.remove(device, 3)).await.is_none() {
            rented.remove().await;
        }
        assert_eq!(rented.names(&rented.name()).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_may_be_killed_at_any_time() {
    let Some(engine) = Engine::own("the_engine_may_be_killed_at_any_time") else { return };
    let mut rented = Rented::new(&engine);
    rented.run().await.unwrap();
    assert!(rented.inside("echo mine > /home/letter").await.0);
    engine.kill();
    let error = rented.run().await.unwrap_err().to_string();
    assert!(error.contains("systemctl start docker"), "{error}");
    assert_eq!(rented.docker.running(rented.device).await, None);
    assert!(rented.docker.stop(rented.device).await.is_err(), "it may still run");
    assert!(rented.docker.remove(rented.device, 3).await.is_err());
    engine.up().unwrap();
    rented.run().await.unwrap();
    assert_eq!(rented.inside("cat /home/letter").await, (true, "mine".into()));
    rented.remove().await;
    // In the middle of a run.
    for wait_ms in [20, 60, 120, 200] {
        let mut rented = Rented::new(&engine);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            tokio::task::block_in_place(|| engine.kill());
        };
        // Either it was done by then, or this says that it is not.
        let _ = tokio::join!(kill, rented.run());
        engine.up().unwrap();
        rented.run().await.unwrap_or_else(|e| panic!("killed after {wait_ms} ms: {e}"));
        rented.remove().await;
    }
}

#[tokio::test]
async fn without_an_engine_the_error_says_what_to_do() {
    let mut docker = Docker::new(DockerConfig { socket: "/nonexistent/s".into(), ..DockerConfig::of("a") });
    let problems = docker.problems().await;
    assert!(problems.len() == 1 && problems[0].contains("apt-get install docker.io"), "{problems:?}");

    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let config = DockerConfig { socket: socket.to_str().unwrap().into(), ..DockerConfig::of("a") };
    let patience = Patience { call: Duration::from_secs(1), ..Patience::default() };
    let mut hung = Docker::with_patience(config.clone(), patience);
    let asked = Instant::now();
    let problems = hung.problems().await;
    assert!(problems[0].contains("does not answer"), "{problems:?}");
    assert!(asked.elapsed() < Duration::from_secs(5));
    drop(listener);
    let problems = Docker::new(config).problems().await;
    assert!(problems[0].contains("systemctl start docker"), "{problems:?}");
}

#[tokio::test]
async fn a_missing_image_is_said_to_be_missing() {
    let Some(engine) = Engine::shared("a_missing_image_is_said_to_be_missing") else { return };
    let mut never = Rented::with(engine, "not-there:1", |config| config.pull = Pull::Never);
    let problems = never.docker.problems().await;
    assert!(problems[0].contains("docker load"), "{problems:?}");
    let error = never.run().await.unwrap_err().to_string();
    assert!(error.contains("docker load"), "{error}");
    // Nobody listens there.
    let mut pulled = Rented::with(engine, "127.0.0.1:1/not-there:1", |_| {});
    let error = pulled.run().await.unwrap_err().to_string();
    assert!(error.contains("cannot fetch image 127.0.0.1:1/not-there:1"), "{error}");
    // An image at hand does when its registry is away.
    let mut always = Rented::with(engine, RICH, |config| config.pull = Pull::Always);
    always.run().await.unwrap();
    always.remove().await;
}

#[tokio::test]
async fn an_image_without_a_command_says_that_one_must_be_set() {
    let Some(engine) = Engine::shared("an_image_without_a_command_says_that_one_must_be_set") else { return };
    let mut rented = Rented::with(engine, BARE, |config| config.command = None);
    let error = rented.run().await.unwrap_err().to_string();
    assert!(error.contains("set \"command\""), "{error}");
    rented.remove().await;
}

#[tokio::test]
async fn a_volume_that_is_closed_is_not_run_on() {
    let Some(engine) = Engine::shared("a_volume_that_is_closed_is_not_run_on") else { return };
    let mut rented = Rented::new(engine);
    rented.run().await.unwrap();
    rented.docker.stop(rented.device).await.unwrap();
    std::fs::rename(rented.data(), rented.data().with_extension("away")).unwrap();
    let error = rented.run().await.unwrap_err().to_string();
    assert!(error.contains("is the volume open?"), "{error}");
    assert!(!rented.data().exists());
    std::fs::rename(rented.data().with_extension("away"), rented.data()).unwrap();
    rented.run().await.unwrap();
    rented.remove().await;
}

#[tokio::test]
async fn an_engine_without_an_init_program_runs_containers_without() {
    let Some(engine) = Engine::without_init("an_engine_without_an_init_program_runs_containers_without")
    else {
        return;
    };
    let mut rented = Rented::with(&engine, BARE, |_| {});
    rented.run().await.unwrap();
    assert_eq!(rented.inspect().await.host_config.unwrap().init, None);
    let id = rented.inspect().await.id;
    rented.restarted(|_| {});
    rented.run().await.unwrap();
    assert_eq!(rented.inspect().await.id, id);
    rented.remove().await;
}
