//! What is said, and that it is what happens.

use super::*;
use crate::guard::fake_upstream::{FakeUpstream, address};
use crate::policy::Policy;

async fn guard(allow: &[&str]) -> Arc<Guard> {
    let fake = FakeUpstream::with_records(|question| {
        let name = question.name.to_ascii();
        match (question.query_type, name.as_str()) {
            (RecordType::A, "inside.org.") => vec![address(&name, "10.0.0.5")],
            (RecordType::A, _) => vec![address(&name, "203.0.113.5")],
            _ => Vec::new(),
        }
    })
    .await;
    Guard::with_upstream(Policy::parse(allow).unwrap(), fake.upstream())
}

async fn explained(allow: &[&str], what: &str, port: Option<u16>) -> Explanation {
    let guard = guard(allow).await;
    let explanation = explain(&guard, what, port).await;
    assert!(guard.denials().since(0).is_empty(), "explaining is no denial");
    explanation
}

#[tokio::test]
async fn an_allowed_name_is_said_to_be_inspected() {
    let explanation = explained(&["a.org:443"], "A.org", Some(443)).await;
    assert!(explanation.allowed);
    let last = explanation.steps.last().unwrap();
    assert_eq!((last.rule.as_str(), last.addresses.len()), ("a.org:443", 1));
    assert_eq!(last.hint, "TLS has to name a.org as its server, and HTTP as its host");
    assert!(!explained(&["a.org:443"], "a.org", Some(80)).await.allowed);
}

#[tokio::test]
async fn a_name_that_is_not_allowed_says_what_to_type() {
    let explanation = explained(&["a.org"], "b.org", Some(443)).await;
    assert!(!explanation.allowed);
    assert_eq!(explanation.steps.len(), 1);
    assert_eq!(explanation.steps[0].hint, "allow it with `--allow b.org`");
}

#[tokio::test]
async fn what_points_to_the_inside_is_said_to() {
    let explanation = explained(&[], "inside.org", Some(5432)).await;
    assert!(!explanation.allowed);
    assert_eq!(explanation.steps[0].rule, "private");
    assert!(explained(&["inside.org", "10.0.0.5"], "inside.org", Some(5432)).await.allowed);
}

#[tokio::test]
async fn addresses_are_judged_as_they_are() {
    assert!(explained(&[], "203.0.113.5", Some(80)).await.allowed);
    assert!(explained(&[], "[2001:db8::1]", None).await.allowed);
    assert!(!explained(&[], "169.254.169.254", Some(80)).await.allowed);
    assert!(!explained(&["203.0.113.5:80"], "203.0.113.5", None).await.allowed);
    assert!(!explained(&[], "https://a.org", Some(80)).await.allowed);
}

#[tokio::test]
async fn the_hosts_loopback_is_explained() {
    assert!(explained(&["host.pyro.internal:80"], "host.pyro.internal", Some(80)).await.allowed);
    assert!(!explained(&["host.pyro.internal:80"], "host.pyro.internal", Some(81)).await.allowed);
    assert!(explained(&[], "localhost", Some(80)).await.allowed);
}
