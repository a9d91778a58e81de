//! Connections that are kept, and words of the gateway's own that are on their way: both have an end.

use tokio::sync::watch;

use super::*;
use crate::upstream::voice::Voice;

const PATIENCE: Duration = Duration::from_secs(15);

/// How many connections are open now: each is kept until the other side ends it, and answered once told so.
async fn keeping(answer: watch::Receiver<bool>) -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, open) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, mut answer) = (count.clone(), answer.clone());
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let asked = stream.read(&mut request).await.unwrap();
                assert!(asked > 0);
                count.send_modify(|open| *open += 1);
                tokio::select! {
                    _now = async { answer.wait_for(|now| *now).await.map(|_| ()) } => {
                        stream.write_all(&response("200 OK", "application/json", ANSWER)).await.unwrap();
                    }
                    _end = stream.readable() => {}
                }
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
                count.send_modify(|open| *open -= 1);
            });
        }
    });
    (address, open)
}

async fn becomes(open: &mut watch::Receiver<usize>, expected: usize) {
    let reached = tokio::time::timeout(PATIENCE, open.wait_for(|open| *open == expected)).await.map(|_| ());
    assert!(reached.is_ok(), "{} and not {expected}", *open.borrow());
}

/// Break: keep every connection that was ever needed at the same time, for the next time.
#[tokio::test]
async fn idle_connections_to_one_upstream_have_an_end() {
    let (answer_now, answer) = watch::channel(false);
    let (address, mut open) = keeping(answer).await;
    let url = format!("http://{address}/mcp").parse().unwrap();
    let patient = Deadlines { first_byte: PATIENCE, ..deadlines() };
    let upstreams = HttpUpstreams::new(patient);
    let all = futures_util::future::join_all((0..100).map(|_| upstreams.send(&url, outgoing(false))));
    let answered = async {
        becomes(&mut open, 100).await;
        answer_now.send_replace(true);
    };
    let (replies, ()) = tokio::join!(all, answered);
    assert!(replies.iter().all(|reply| matches!(reply, Ok(Reply::Json { .. }))), "{replies:?}");
    becomes(&mut open, 64).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*open.borrow(), 64, "the others are closed, and no more");
}

/// Break: say whatever there is to say to an upstream that takes nothing, all at the same time.
#[tokio::test]
async fn what_is_said_beside_calls_has_an_end() {
    let (_never, answer) = watch::channel(false);
    let (address, mut open) = keeping(answer).await;
    let url = format!("http://{address}/mcp").parse().unwrap();
    let upstreams = HttpUpstreams::new(Deadlines { connect: Duration::from_secs(4), ..deadlines() });
    let voice = Voice::beside(&upstreams, &url, &outgoing(false));
    for _ in 0..100 {
        voice.say(ANSWER.to_owned());
    }
    becomes(&mut open, 64).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*open.borrow(), 64, "the others are dropped");
    // What is not taken in time is given up, and there is room again.
    becomes(&mut open, 0).await;
    voice.say(ANSWER.to_owned());
    becomes(&mut open, 1).await;
}
